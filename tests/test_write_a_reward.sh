#!/usr/bin/env bash
# tests/test_write_a_reward.sh: docs/write-a-reward.md, done as it says: its files are written,
# and each line of its consoles that begins with `$ ` must succeed, one after the other.
. "$(dirname "$0")/lib.sh"
page=$top/docs/write-a-reward.md
export HOME=$dir/home PATH=$dir/home/.local/bin:$PATH
share=$HOME/.local/share/hone

# As make install lays it out.
mkdir -p "$HOME/.local/bin" "$HOME/.local/include" "$share/python" folder
cp "$HONE" "$top/reward/python/hone-reward-py" "$HOME/.local/bin/"
cp "$top/reward/hone_reward.h" "$HOME/.local/include/"
cp "$top/reward/python/hone_reward.py" "$share/python/"
cp -R "$top/experiments" "$share/"
cd folder || exit 1

# ```python mine.py begins a file of that name.
awk '/^```[a-z]+ [a-z_]+\.[a-z]+$/ { name = $2; next } /^```/ { name = "" }
     name { print > name }' "$page"
t "the page has files" 0 '^broken.py gym_score.py mine.c mine.py verl_score.py $' \
    sh -c 'ls | tr "\n" " "'
while IFS= read -r command; do
    t "${command:0:70}" 0 '' bash -c "$command" </dev/null
done < <(awk '/^```console$/ { on = 1; next } /^```/ { on = 0 } on && sub(/^\$ /, "")' "$page")
t "all of them" 0 '^12$' echo "$((n - 1))"
t "the function's scores are in the run" 0 '^1280\|1\|close/sha256:[0-9a-f]{16}$' \
    sqlite3 run/run.db "SELECT count(*), min(score) < max(score), version FROM verdicts
                         WHERE checker = 'close'"
t "the broken one stopped its run" 0 '^64\|crashed\|its score is not a number$' \
    sqlite3 broken/run.db "SELECT count(*), status, detail FROM verdicts
                            WHERE checker = 'broken' GROUP BY 2, 3"
t "the one in C too was in a run" 0 '^1280\|short/1$' \
    sqlite3 run-c/run.db "SELECT count(*), version FROM verdicts WHERE checker = 'mine'"
finish
