#!/usr/bin/env bash
# tests/test_nightly.sh: what experiments/nightly hands out: units that systemd takes, a crontab
# line that runs as it stands, a logrotate file, all of them the same command.
. "$(dirname "$0")/lib.sh"
nightly=$top/experiments/nightly

# The command of a file, with this program and these folders in the place of the system's.
here() {
    sed -e "s@/usr/local/bin/hone@$HONE@g; s@/etc/hone/nightly.json@$top/tests/data/tiny.json@g" \
        -e "s@/var/lib/hone@$dir@g; s@/var/log/hone@$dir@g" "$nightly/$1"
}
arguments() { sed -e ':a; /\\$/N; s/\\\n *//; ta' "$nightly/$1" | grep -o 'hone train .*' | sed 's/ >>.*//'; }

t "the unit and the crontab line run the same" 0 '' \
    test "$(arguments hone-nightly.service)" = "$(arguments crontab)"
line=$(here crontab | grep -v '^#')
t "the line is at one o'clock, for hone" 0 '^0 1 \* \* \* +hone +/' echo "$line"
command=${line#*hone  }
t "a night" 0 '' env -i HOME=/ SHELL=/bin/sh PATH=/usr/bin:/bin /bin/sh -c "$command --max-steps 40 --threads 1" </dev/null
t "is in the log" 0 'stopped after --max-steps, 40 steps done' cat nightly.log
t "and in the file of metrics" 0 '^hone_step\{.*\} 40$' cat nightly.prom
t "the next one" 0 '' env -i HOME=/ SHELL=/bin/sh PATH=/usr/bin:/bin /bin/sh -c "$command --threads 1" </dev/null
t "comes to the end" 0 '^64 steps, 24 of them by this start' cat nightly.log

if command -v systemd-analyze >/dev/null; then
    mkdir units
    for unit in hone-nightly.service hone-nightly.timer; do here $unit >units/$unit; done
    t "systemd takes the units" 0 '' systemd-analyze verify --man=no units/hone-nightly.service units/hone-nightly.timer
    t "a wrong word in them it does not" 0 'Unknown key .*IOShed' \
        sh -c 'sed -i s/^IOSched/IOShed/ units/hone-nightly.service && systemd-analyze verify --man=no units/hone-nightly.service 2>&1'
else
    n=$((n + 1))
    echo "ok $n - systemd's own check # SKIP no systemd-analyze here"
fi
rotate=$(PATH=$PATH:/usr/sbin command -v logrotate || true)
if [ -n "$rotate" ] && [ "$(id -u)" -eq 0 ]; then
    here logrotate | sed 's/su hone hone/su root root/' >logrotate.conf
    chmod 700 . && chmod 600 logrotate.conf
    t "logrotate turns the log over" 0 '' "$rotate" -f -s state logrotate.conf
    t "and leaves the last one readable" 0 '^64 steps' cat nightly.log.1
else
    n=$((n + 1))
    echo "ok $n - logrotate's own check # SKIP no logrotate here"
fi
finish
