#!/usr/bin/env bash
# tests/test_cli.sh: the frame of the command line, with its exit codes (sysexits.h).
. "$(dirname "$0")/lib.sh"

t "no command is a usage error" 64 '^usage: hone COMMAND' "$HONE"
t "a typo names the nearest command" 64 "^hone: no such command 'trian'; did you mean 'train'\?$" \
    "$HONE" trian
t "an unlike word lists the commands" 64 'valid are train, eval, .* and help$' \
    "$HONE" frobnicate
t "--help is help" 0 '^  train ' "$HONE" --help
t "help is help" 0 '^  hone help config ' "$HONE" help
t "help of nothing known" 64 "no such command 'shwo'; did you mean 'show'" "$HONE" help shwo
t "help of two things" 64 'one command or topic' "$HONE" help train eval
t "help config lists the keys" 0 '^  num_generations .*integer >= 2' "$HONE" help config
t "help problems lists the kinds" 0 '^countdown' "$HONE" help problems

for command in train eval sample show replay reward; do
    t "$command --help" 0 "^usage: hone $command" "$HONE" $command --help
    t "help $command" 0 "^usage: hone $command" "$HONE" help $command
    t "$command refuses an unknown option" 64 "hone $command: no such option '--hlep'; did you mean '--help'" \
        "$HONE" $command --hlep
    t "$command without arguments" 64 "hone $command: .* is missing" "$HONE" $command
done

t "--version names the version" 0 '^hone [0-9]+\.[0-9]+\.[0-9]+' "$HONE" --version
t "--version names the instruction set" 0 '^instruction set: ' "$HONE" --version
t "--version names the libraries" 0 '^sqlite: 3' "$HONE" --version
full() { "$HONE" help >/dev/full; }
t "a full disk behind stdout is an error" 74 'No space left' full
t "a missing experiment" 66 'open none.json: No such file' "$HONE" train none.json --out run
undocumented() {
    local key
    for key in $("$HONE" help config | sed -n 's/^  \([a-z0-9_]*\) .*/\1/p' | sort -u); do
        grep -q "[\`.]$key\`" "$top/docs/training.md" "$top/docs/rewards.md" || echo "$key"
    done
}
undocumented >undocumented.txt
t "docs/training.md and rewards.md have every key of an experiment" 1 "^$" grep . undocumented.txt

echo '{"seed": 1, "sed": 2}' >bad.json
t "a bad key in an experiment" 78 "bad.json: sed: no such key; did you mean 'seed'" \
    "$HONE" train bad.json --out run
t "a refused experiment leaves no folder" 1 '^$' test -e run
echo '{"seed": 1' >cut.json
t "an experiment cut short" 65 'cut.json:2:1: the text ends' "$HONE" train cut.json --out run
finish
