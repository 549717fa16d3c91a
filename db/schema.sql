-- db/schema.sql: everything a run records; compiled in, described in docs/database.md.
--
-- One file holds one run. The order of the log is steps.step: 1, 2, 3 ... over all
-- stages. A step's episodes (or traces) are committed before the update that uses them,
-- its result afterwards. Small columns stand before texts and blobs, so that views read
-- few pages.
PRAGMA application_id = 1752133221; -- "hone"
PRAGMA user_version = 2;

CREATE TABLE runs (
  id            INTEGER PRIMARY KEY CHECK (id = 1),
  name          TEXT NOT NULL,
  created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  version       TEXT NOT NULL,
  build         TEXT NOT NULL,
  isa           TEXT NOT NULL,
  threads       INTEGER NOT NULL CHECK (threads >= 1),
  seed          INTEGER NOT NULL,
  start_weights TEXT NOT NULL
                CHECK (length(start_weights) = 16 AND start_weights NOT GLOB '*[^0-9a-f]*'),
  experiment    TEXT NOT NULL CHECK (json_valid(experiment))
) STRICT;

CREATE TABLE stages (
  stage       INTEGER PRIMARY KEY CHECK (stage >= 1),
  name        TEXT NOT NULL UNIQUE,
  type        TEXT NOT NULL CHECK (type IN ('sft', 'grpo')),
  max_steps   INTEGER NOT NULL CHECK (max_steps >= 0),
  started_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  finished_at TEXT
) STRICT;

CREATE TABLE steps (
  step           INTEGER PRIMARY KEY CHECK (step >= 1),
  stage          INTEGER NOT NULL REFERENCES stages,
  stage_step     INTEGER NOT NULL CHECK (stage_step >= 1),
  state          TEXT NOT NULL DEFAULT 'sampled'
                 CHECK (state IN ('sampled', 'done', 'refused')),
  weights_before TEXT NOT NULL
                 CHECK (length(weights_before) = 16 AND weights_before NOT GLOB '*[^0-9a-f]*'),
  weights_after  TEXT
                 CHECK (length(weights_after) = 16 AND weights_after NOT GLOB '*[^0-9a-f]*'),
  learning_rate  REAL NOT NULL,
  wall_s         REAL CHECK (wall_s >= 0),
  refusal        TEXT,
  committed_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  finished_at    TEXT,
  UNIQUE (stage, stage_step),
  CHECK ((state = 'sampled') = (weights_after IS NULL)),
  CHECK ((state = 'refused') = (refusal IS NOT NULL))
) STRICT;

-- The chain of hashes: a step starts from what the one before it left.
CREATE TRIGGER steps_follow_each_other BEFORE INSERT ON steps BEGIN
  SELECT RAISE(ABORT, 'steps must be numbered 1, 2, 3 ...')
   WHERE NEW.step <> (SELECT coalesce(max(step), 0) + 1 FROM steps);
  SELECT RAISE(ABORT, 'the step does not start from the weights the last one left')
   WHERE NEW.weights_before IS NOT
         CASE NEW.step WHEN 1 THEN (SELECT start_weights FROM runs)
         ELSE (SELECT weights_after FROM steps WHERE step = NEW.step - 1) END;
END;

CREATE TABLE problems (
  id      INTEGER PRIMARY KEY,
  kind    TEXT NOT NULL,
  key     TEXT NOT NULL,
  split   TEXT NOT NULL,
  prompt  TEXT NOT NULL,
  gold    TEXT NOT NULL,
  columns TEXT NOT NULL CHECK (json_valid(columns))
) STRICT;
-- Rows of equal key may differ in their columns (other tests, say), which are too long for
-- an index.
CREATE INDEX problems_by_key ON problems (kind, key, split);

CREATE TABLE traces (
  step       INTEGER NOT NULL REFERENCES steps,
  idx        INTEGER NOT NULL CHECK (idx >= 0),
  problem_id INTEGER NOT NULL REFERENCES problems,
  n_prompt   INTEGER NOT NULL CHECK (n_prompt >= 0),
  ids        BLOB NOT NULL CHECK (length(ids) % 4 = 0 AND length(ids) >= 4 * n_prompt),
  PRIMARY KEY (step, idx)
) STRICT;

CREATE TABLE groups (
  id         INTEGER PRIMARY KEY,
  step       INTEGER NOT NULL REFERENCES steps,
  prompt_no  INTEGER NOT NULL CHECK (prompt_no >= 0),
  problem_id INTEGER NOT NULL REFERENCES problems,
  n          INTEGER NOT NULL CHECK (n >= 1),
  UNIQUE (step, prompt_no)
) STRICT;
CREATE INDEX groups_by_problem ON groups (problem_id);

CREATE TABLE episodes (
  id            INTEGER PRIMARY KEY,
  group_id      INTEGER NOT NULL REFERENCES groups,
  sample        INTEGER NOT NULL CHECK (sample >= 0),
  n_prompt      INTEGER NOT NULL CHECK (n_prompt >= 0),
  n_completion  INTEGER NOT NULL CHECK (n_completion >= 0),
  finish_reason TEXT NOT NULL CHECK (finish_reason IN ('eos', 'stop', 'length')),
  truncated     INTEGER AS (finish_reason = 'length') VIRTUAL,
  reward        REAL,
  advantage     REAL,
  key_seed      INTEGER NOT NULL,
  key_purpose   INTEGER NOT NULL,
  key_step      INTEGER NOT NULL,
  key_prompt    INTEGER NOT NULL,
  key_sample    INTEGER NOT NULL,
  weights_hash  TEXT NOT NULL
                CHECK (length(weights_hash) = 16 AND weights_hash NOT GLOB '*[^0-9a-f]*'),
  gen_ms        REAL CHECK (gen_ms >= 0),
  score_ms      REAL CHECK (score_ms >= 0),
  text          TEXT NOT NULL,
  ids           BLOB NOT NULL CHECK (length(ids) = 4 * (n_prompt + n_completion)),
  logps         BLOB NOT NULL CHECK (length(logps) = 4 * n_completion),
  mask          BLOB NOT NULL CHECK (length(mask) = n_completion),
  UNIQUE (group_id, sample)
) STRICT;

CREATE TABLE verdicts (
  episode_id INTEGER NOT NULL REFERENCES episodes,
  checker    TEXT NOT NULL,
  version    TEXT NOT NULL,
  weight     REAL NOT NULL,
  status     TEXT NOT NULL CHECK (status IN ('ok', 'unparsable', 'undecided', 'timeout',
                                             'limit', 'crashed', 'not_scorable')),
  score      REAL CHECK (score BETWEEN 0 AND 1),
  ms         REAL CHECK (ms >= 0),
  deterministic INTEGER NOT NULL CHECK (deterministic IN (0, 1)),
  parts      TEXT NOT NULL CHECK (json_type(parts) = 'object'),
  detail     TEXT NOT NULL,
  PRIMARY KEY (episode_id, checker),
  CHECK ((status IN ('ok', 'unparsable')) = (score IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
  step  INTEGER NOT NULL REFERENCES steps,
  name  TEXT NOT NULL,
  value REAL,
  PRIMARY KEY (step, name)
) STRICT, WITHOUT ROWID;

-- Evaluations stand beside the log: the run does not depend on them. step is the number
-- of steps done before (0: the start), so it refers to no row.
CREATE TABLE eval_runs (
  id           INTEGER PRIMARY KEY,
  step         INTEGER NOT NULL CHECK (step >= 0),
  spec         TEXT NOT NULL,
  mode         TEXT NOT NULL CHECK (mode IN ('greedy', 'sampled')),
  k            INTEGER NOT NULL CHECK (k >= 1),
  temperature  REAL NOT NULL CHECK (temperature >= 0),
  n            INTEGER NOT NULL CHECK (n >= 0),
  pass1        REAL CHECK (pass1 BETWEEN 0 AND 1),
  ci95         REAL CHECK (ci95 >= 0),
  pass_at_k    REAL CHECK (pass_at_k BETWEEN 0 AND 1),
  avg_at_k     REAL CHECK (avg_at_k BETWEEN 0 AND 1),
  mean_length  REAL CHECK (mean_length >= 0),
  wall_s       REAL CHECK (wall_s >= 0),
  weights_hash TEXT NOT NULL
               CHECK (length(weights_hash) = 16 AND weights_hash NOT GLOB '*[^0-9a-f]*'),
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (step, spec, mode, k, temperature)
) STRICT;

CREATE TABLE eval_episodes (
  eval_id       INTEGER NOT NULL REFERENCES eval_runs ON DELETE CASCADE,
  idx           INTEGER NOT NULL CHECK (idx >= 0),
  sample        INTEGER NOT NULL CHECK (sample >= 0),
  problem_id    INTEGER NOT NULL REFERENCES problems,
  n_completion  INTEGER NOT NULL CHECK (n_completion >= 0),
  finish_reason TEXT NOT NULL CHECK (finish_reason IN ('eos', 'stop', 'length')),
  status        TEXT NOT NULL CHECK (status IN ('ok', 'unparsable', 'undecided', 'timeout',
                                                'limit', 'crashed', 'not_scorable')),
  score         REAL CHECK (score BETWEEN 0 AND 1),
  text          TEXT NOT NULL,
  PRIMARY KEY (eval_id, idx, sample),
  CHECK ((status IN ('ok', 'unparsable')) = (score IS NOT NULL))
) STRICT;

-- Accuracy is the share of scored episodes with a full answer score; an episode whose
-- checker failed counts in neither part. zero_std does not read v_groups: that view would
-- be made anew for every step.
CREATE VIEW v_accuracy_by_step AS
SELECT s.step, s.stage, t.name AS stage_name, t.type, s.stage_step, s.state,
       count(e.id) AS episodes,
       avg(e.reward) AS reward,
       avg(a.score = 1) AS accuracy,
       avg(e.n_completion) AS mean_length,
       avg(e.truncated) AS truncated,
       (SELECT avg(low = high)
          FROM (SELECT min(x.reward) AS low, max(x.reward) AS high
                  FROM groups y JOIN episodes x ON x.group_id = y.id
                 WHERE y.step = s.step GROUP BY y.id)) AS zero_std,
       (SELECT value FROM metrics m WHERE m.step = s.step AND m.name = 'kl') AS kl,
       (SELECT value FROM metrics m WHERE m.step = s.step AND m.name = 'entropy') AS entropy,
       (SELECT value FROM metrics m WHERE m.step = s.step AND m.name = 'loss') AS loss,
       (SELECT value FROM metrics m WHERE m.step = s.step AND m.name = 'grad_norm')
         AS grad_norm,
       s.learning_rate, s.wall_s
  FROM steps s
  JOIN stages t ON t.stage = s.stage
  LEFT JOIN groups g ON g.step = s.step
  LEFT JOIN episodes e ON e.group_id = g.id
  LEFT JOIN verdicts a ON a.episode_id = e.id AND a.checker = 'answer'
 GROUP BY s.step;

-- reward_std divides by n - 1, as TRL's reward_std; zero_std is exact.
CREATE VIEW v_groups AS
SELECT g.id AS group_id, g.step, g.prompt_no, g.problem_id,
       count(e.id) AS n, avg(e.reward) AS reward_mean,
       (SELECT sqrt(sum((x.reward - m.mean) * (x.reward - m.mean)) / (count(x.reward) - 1))
          FROM episodes x, (SELECT avg(reward) AS mean FROM episodes
                             WHERE group_id = g.id) m
         WHERE x.group_id = g.id) AS reward_std,
       min(e.reward) AS reward_min, max(e.reward) AS reward_max,
       min(e.reward) = max(e.reward) AS zero_std,
       sum(a.score = 1) AS passed, sum(e.truncated) AS truncated
  FROM groups g
  LEFT JOIN episodes e ON e.group_id = g.id
  LEFT JOIN verdicts a ON a.episode_id = e.id AND a.checker = 'answer'
 GROUP BY g.id;

CREATE VIEW v_hardest_problems AS
SELECT p.id AS problem_id, p.kind, p.key, p.gold,
       count(DISTINCT g.id) AS visits, count(a.score) AS scored,
       sum(a.score = 1) AS passed, avg(a.score = 1) AS pass_rate,
       max(g.step) AS last_step, p.prompt
  FROM problems p
  JOIN groups g ON g.problem_id = p.id
  JOIN episodes e ON e.group_id = g.id
  LEFT JOIN verdicts a ON a.episode_id = e.id AND a.checker = 'answer'
 GROUP BY p.id
 ORDER BY pass_rate, scored DESC, p.id;

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
       count(*) * 1.0 / (SELECT count(*) FROM verdicts w WHERE w.checker = v.checker)
         AS rate,
       min(g.step) AS first_step, max(g.step) AS last_step, min(v.episode_id) AS an_episode
  FROM verdicts v
  JOIN episodes e ON e.id = v.episode_id
  JOIN groups g ON g.id = e.group_id
 WHERE v.status IN ('undecided', 'timeout', 'limit', 'crashed')
 GROUP BY v.checker, v.version, v.status;

-- One row a step and checker: shows a format reward rising while the answer's falls.
CREATE VIEW v_checkers_by_step AS
SELECT g.step, v.checker, count(*) AS n, avg(v.score) AS mean_score,
       sum(v.status = 'unparsable') AS unparsable,
       sum(v.status IN ('undecided', 'timeout', 'limit', 'crashed')) AS failures,
       sum(v.status = 'not_scorable') AS not_scorable, avg(v.ms) AS mean_ms
  FROM verdicts v
  JOIN episodes e ON e.id = v.episode_id
  JOIN groups g ON g.id = e.group_id
 GROUP BY g.step, v.checker;
