-- db/schema.sql: everything a run records; compiled in, described in docs/database.md.
--
-- One file holds one run. The order of the log is steps.step: 1, 2, 3 ... over all
-- stages. A step's episodes (or traces) are committed with its result or before it, and a
-- step with the next one or before it. Small columns stand before texts and blobs, so that views read
-- few pages. Pages are large (open.c), since an episode takes some kilobytes. A CHECK spells
-- out its OR: for a list of three, SQLite builds a table in memory at every insert.
PRAGMA application_id = 1752133221; -- "hone"
PRAGMA user_version = 5;

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

-- Each is here once; no index says so (problem_ids.h): it would be written anew at every step.
CREATE TABLE problems (
  id      INTEGER PRIMARY KEY,
  kind    TEXT NOT NULL,
  key     TEXT NOT NULL,
  split   TEXT NOT NULL,
  prompt  TEXT NOT NULL,
  gold    TEXT NOT NULL,
  columns TEXT NOT NULL CHECK (json_valid(columns))
) STRICT;

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
  finish_reason TEXT NOT NULL CHECK (finish_reason = 'eos' OR finish_reason = 'stop'
                                       OR finish_reason = 'length'),
  truncated     INTEGER AS (finish_reason = 'length') VIRTUAL,
  reward        REAL,
  advantage     REAL,
  key_seed      INTEGER NOT NULL,
  key_purpose   INTEGER NOT NULL,
  key_step      INTEGER NOT NULL,
  key_prompt    INTEGER NOT NULL,
  key_sample    INTEGER NOT NULL,
  weights_hash  TEXT NOT NULL CHECK (length(weights_hash) = 16),
  gen_ms        REAL CHECK (gen_ms >= 0),
  score_ms      REAL CHECK (score_ms >= 0),
  text          TEXT NOT NULL,
  ids           BLOB NOT NULL CHECK (length(ids) = 4 * (n_prompt + n_completion)),
  logps         BLOB NOT NULL CHECK (length(logps) = 4 * n_completion),
  mask          BLOB CHECK (length(mask) = n_completion),
  UNIQUE (group_id, sample)
) STRICT;

CREATE TABLE verdicts (
  episode_id INTEGER NOT NULL REFERENCES episodes,
  checker    TEXT NOT NULL,
  version    TEXT NOT NULL,
  weight     REAL NOT NULL,
  status     TEXT NOT NULL
             CHECK (status = 'ok' OR status = 'unparsable' OR status = 'undecided'
                    OR status = 'timeout' OR status = 'limit' OR status = 'crashed'
                    OR status = 'not_scorable'),
  score      REAL CHECK (score BETWEEN 0 AND 1),
  ms         REAL CHECK (ms >= 0),
  deterministic INTEGER NOT NULL CHECK (deterministic IN (0, 1)),
  parts      TEXT NOT NULL CHECK (parts = '{}' OR json_type(parts) = 'object'),
  detail     TEXT NOT NULL,
  PRIMARY KEY (episode_id, checker),
  CHECK ((status = 'ok' OR status = 'unparsable') = (score IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX verdicts_failed ON verdicts (checker, version, status, episode_id)
 WHERE status <> 'ok' AND status <> 'unparsable' AND status <> 'not_scorable';

-- What the views need of a group's episodes and verdicts, written when the group is
-- complete (sums.sql), so that a view of a million episodes reads a tenth of that many
-- short rows. Derived: `hone db check --full` works them out again.
CREATE TABLE group_sums (
  group_id   INTEGER PRIMARY KEY REFERENCES groups ON DELETE CASCADE,
  episodes   INTEGER NOT NULL,
  rewarded   INTEGER NOT NULL,
  reward_sum REAL NOT NULL,
  reward_min REAL,
  reward_max REAL,
  reward_std REAL,
  tokens     INTEGER NOT NULL,
  truncated  INTEGER NOT NULL
) STRICT;

CREATE TABLE group_checkers (
  group_id     INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
  checker      TEXT NOT NULL,
  verdicts     INTEGER NOT NULL,
  scored       INTEGER NOT NULL,
  score_sum    REAL NOT NULL,
  passed       INTEGER NOT NULL,
  unparsable   INTEGER NOT NULL,
  failures     INTEGER NOT NULL,
  not_scorable INTEGER NOT NULL,
  ms_sum       REAL NOT NULL,
  PRIMARY KEY (group_id, checker)
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

-- What is beside the log. `hone db upgrade` adds these tables to a database of version 3 as they
-- stand here.

-- The policy's tokens, so that a database alone can say what its ids mean.
CREATE TABLE vocabulary (
  token INTEGER PRIMARY KEY CHECK (token >= 0),
  text  TEXT NOT NULL
) STRICT;

-- Recorded where the experiment asks for it (record.entropy, record.experts).
CREATE TABLE episode_details (
  episode_id INTEGER PRIMARY KEY REFERENCES episodes,
  entropies  BLOB CHECK (length(entropies) % 4 = 0),
  experts    BLOB
) STRICT;

-- Episodes that this run did not draw: of which episode of replay.from they are a copy.
CREATE TABLE episode_sources (
  episode_id INTEGER PRIMARY KEY REFERENCES episodes,
  source_id  INTEGER NOT NULL
) STRICT;

-- The query that chose a step's problems or episodes, and how many it found.
CREATE TABLE step_queries (
  step  INTEGER PRIMARY KEY REFERENCES steps,
  query TEXT NOT NULL,
  found INTEGER NOT NULL CHECK (found >= 0)
) STRICT;

-- Steps whose episodes or traces were taken out by `hone db prune`.
CREATE TABLE pruned_steps (
  step      INTEGER PRIMARY KEY REFERENCES steps,
  removed   INTEGER NOT NULL CHECK (removed >= 0),
  pruned_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
