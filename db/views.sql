-- db/views.sql: what people ask of a run, as views; docs/database.md describes them.
--
-- Accuracy is the share of scored episodes with a full answer score; an episode whose
-- checker failed counts in neither part.
CREATE VIEW v_accuracy_by_step AS
SELECT s.step, s.stage, t.name AS stage_name, t.type, s.stage_step, s.state,
       coalesce(sum(m.episodes), 0) AS episodes,
       sum(m.reward_sum) / sum(m.rewarded) AS reward,
       sum(a.passed) * 1.0 / sum(a.scored) AS accuracy,
       sum(m.tokens) * 1.0 / sum(m.episodes) AS mean_length,
       sum(m.truncated) * 1.0 / sum(m.episodes) AS truncated,
       avg(m.reward_min = m.reward_max) AS zero_std,
       (SELECT value FROM metrics m WHERE m.step = s.step AND m.name = 'kl') AS kl,
       (SELECT value FROM metrics m WHERE m.step = s.step AND m.name = 'entropy') AS entropy,
       (SELECT value FROM metrics m WHERE m.step = s.step AND m.name = 'loss') AS loss,
       (SELECT value FROM metrics m WHERE m.step = s.step AND m.name = 'grad_norm')
         AS grad_norm,
       s.learning_rate, s.wall_s
  FROM steps s
  JOIN stages t ON t.stage = s.stage
  LEFT JOIN groups g ON g.step = s.step
  LEFT JOIN group_sums m ON m.group_id = g.id
  LEFT JOIN group_checkers a ON a.group_id = g.id AND a.checker = 'answer'
 GROUP BY s.step;

-- reward_std divides by n - 1, as TRL's reward_std; zero_std is exact.
CREATE VIEW v_groups AS
SELECT g.id AS group_id, g.step, g.prompt_no, g.problem_id, coalesce(m.episodes, 0) AS n,
       m.reward_sum / m.rewarded AS reward_mean, m.reward_std, m.reward_min, m.reward_max,
       m.reward_min = m.reward_max AS zero_std, a.passed, m.truncated
  FROM groups g
  LEFT JOIN group_sums m ON m.group_id = g.id
  LEFT JOIN group_checkers a ON a.group_id = g.id AND a.checker = 'answer';

CREATE VIEW v_hardest_problems AS
SELECT p.id AS problem_id, p.kind, p.key, p.gold,
       q.visits, q.scored, q.passed, q.pass_rate, q.last_step, p.prompt
  FROM (SELECT g.problem_id, count(*) AS visits, coalesce(sum(a.scored), 0) AS scored,
               sum(a.passed) AS passed, sum(a.passed) * 1.0 / sum(a.scored) AS pass_rate,
               max(g.step) AS last_step
          FROM groups g
          JOIN group_sums m ON m.group_id = g.id
          LEFT JOIN group_checkers a ON a.group_id = g.id AND a.checker = 'answer'
         GROUP BY g.problem_id) q
  JOIN problems p ON p.id = q.problem_id
 ORDER BY q.pass_rate, q.scored DESC, p.id;

CREATE VIEW v_episode AS
SELECT e.id, t.name AS stage, g.step, g.prompt_no, e.sample, g.id AS group_id,
       p.id AS problem_id, p.kind, p.key, p.gold, e.reward, e.advantage, e.finish_reason,
       e.truncated, e.n_prompt, e.n_completion, e.weights_hash, e.gen_ms, e.score_ms,
       (SELECT json_group_object(v.checker,
                 json_object('version', v.version, 'weight', v.weight, 'status', v.status,
                             'score', v.score, 'parts', json(v.parts),
                             'detail', v.detail, 'ms', v.ms))
          FROM verdicts v WHERE v.episode_id = e.id) AS verdicts,
       p.prompt, e.text
  FROM episodes e
  JOIN groups g ON g.id = e.group_id
  JOIN problems p ON p.id = g.problem_id
  JOIN steps s ON s.step = g.step
  JOIN stages t ON t.stage = s.stage;

-- The checkers' own failures, not the policy's; rate is of all verdicts of that checker.
CREATE VIEW v_failures AS
SELECT v.checker, v.version, v.status, count(*) AS n,
       count(*) * 1.0 / (SELECT sum(c.verdicts) FROM group_checkers c
                          WHERE c.checker = v.checker) AS rate,
       min(g.step) AS first_step, max(g.step) AS last_step, min(v.episode_id) AS an_episode
  FROM verdicts v
  JOIN episodes e ON e.id = v.episode_id
  JOIN groups g ON g.id = e.group_id
 WHERE v.status <> 'ok' AND v.status <> 'unparsable' AND v.status <> 'not_scorable'
 GROUP BY v.checker, v.version, v.status;

-- One row a step and checker: shows a format reward rising while the answer's falls.
CREATE VIEW v_checkers_by_step AS
SELECT g.step, c.checker, sum(c.verdicts) AS n, sum(c.score_sum) / sum(c.scored) AS mean_score,
       sum(c.unparsable) AS unparsable, sum(c.failures) AS failures,
       sum(c.not_scorable) AS not_scorable, sum(c.ms_sum) / sum(c.verdicts) AS mean_ms
  FROM groups g
  JOIN group_checkers c ON c.group_id = g.id
 GROUP BY g.step, c.checker;

-- What is known of each problem before the next step: of finished steps only, so that a step
-- that was cut short chooses the same again. _5: of its last five visits.
CREATE VIEW v_curriculum AS
SELECT p.id AS problem_id, p.kind, p.key, p.split, p.prompt, p.gold, q.visits, q.pass_rate,
       q.pass_rate_5, q.mean_reward, q.mean_reward_5, q.last_step
  FROM (SELECT v.problem_id, count(*) AS visits,
               sum(v.passed) * 1.0 / sum(v.scored) AS pass_rate,
               sum(iif(v.back <= 5, v.passed, 0)) * 1.0 / sum(iif(v.back <= 5, v.scored, 0))
                 AS pass_rate_5,
               sum(v.reward_sum) / sum(v.rewarded) AS mean_reward,
               sum(iif(v.back <= 5, v.reward_sum, 0)) / sum(iif(v.back <= 5, v.rewarded, 0))
                 AS mean_reward_5,
               max(v.step) AS last_step
          FROM (SELECT g.problem_id, g.step, m.reward_sum, m.rewarded, a.passed, a.scored,
                       row_number() OVER (PARTITION BY g.problem_id ORDER BY g.id DESC) AS back
                  FROM groups g
                  JOIN steps s ON s.step = g.step AND s.state <> 'sampled'
                  JOIN group_sums m ON m.group_id = g.id
                  LEFT JOIN group_checkers a ON a.group_id = g.id AND a.checker = 'answer') v
         GROUP BY v.problem_id) q
  JOIN problems p ON p.id = q.problem_id;
