#!/usr/bin/env bash
# tests/bench/db.sh PROGRAM FOLDER EPISODES: `make bench-db`. Writes a database of EPISODES of 200
# tokens into FOLDER with PROGRAM (tests/bench/db.c), then times hone show, hone db check and every
# query of docs/database.md on it. Ends with 1 where one takes a second or more.
set -euo pipefail
program=$1 folder=$2 episodes=$3 slow=0
cd "$(dirname "$0")/../.."
rm -rf "$folder" && mkdir -p "$folder"
"$program" "$folder/run.db" "$episodes" 200 2

# timed NAME COMMAND...
timed() {
    local name=$1 from to
    shift
    from=$(date +%s%N)
    "$@" >"$folder/answer" 2>&1 || { cat "$folder/answer" && exit 1; }
    to=$(date +%s%N)
    printf '%7d ms  %s\n' $(((to - from) / 1000000)) "$name"
    [ $((to - from)) -lt 1000000000 ] || slow=1
}

ask() { sqlite3 -readonly -cmd '.load ./hone_sqlite' "$folder/run.db" <"$1"; }

timed 'hone show' ./hone show "$folder"
timed 'hone show --step 9' ./hone show "$folder" --step 9
timed 'hone show --episode 4711' ./hone show "$folder" --episode 4711
timed 'hone db check' ./hone db check "$folder"
awk -v out="$folder/query" '/^```sql/ { n++; on = 1; next } /^```/ { on = 0 }
    on { print > (out n ".sql") }' docs/database.md
for file in "$folder"/query*.sql; do
    timed "$(tr -s '\n ' ' ' <"$file" | cut -c 1-70)" ask "$file"
done
for view in v_accuracy_by_step v_groups v_hardest_problems v_episode v_failures v_checkers_by_step; do
    echo "SELECT * FROM $view LIMIT 10" >"$folder/view.sql"
    timed "$(cat "$folder/view.sql")" ask "$folder/view.sql"
done
echo "SELECT count(*), avg(logp) FROM episodes e JOIN episode_tokens(e.id) t WHERE e.group_id = 99" \
    >"$folder/view.sql"
timed "$(cat "$folder/view.sql")" ask "$folder/view.sql"
exit "$slow"
