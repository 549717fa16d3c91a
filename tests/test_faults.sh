#!/usr/bin/env bash
# tests/test_faults.sh: each call of the write path fails once, or is killed in; then the disk is
# full, read-only, damaged, the database locked, the clock wrong, memory short. Each time one
# sentence says so, and once the cause is gone the run goes on to the same bytes.
# HONE_TEST_FAULTS says how many calls, spread over all of them, are made to fail (0: all).
# In memory where that is possible: nothing here depends on a slow disk.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
few=10
[[ $HONE != *asan* ]] || few=3 # each start takes long there
faults=${HONE_TEST_FAULTS:-$few}
tiny=$top/tests/data/tiny.json
args=(--set sft.max_steps=3 --set grpo.max_steps=2 --set checkpoint.save_steps=2
    --set checkpoint.keep_last=1 --set checkpoint.commit_prompts=2 --set eval.eval_steps=0)

go() { "$HONE" train "$tiny" --out "$1" --threads 1 "${args[@]}" "${@:2}"; }

# shimmed NAME VARIABLE=VALUE...
shimmed() {
    local name=$1
    shift
    env "$@" LD_PRELOAD="$dir/fault.so" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        "$HONE" train "$tiny" --out "$name" --threads 1 "${args[@]}"
}

same() {
    run_rows "$1" && cmp whole.rows "$1.rows" &&
        cmp whole/final/model.safetensors "$1/final/model.safetensors"
}

# one_sentence FILE: a line on stderr, and not the words of a crash.
one_sentence() {
    [ "$(wc -l <"$1")" -eq 1 ] && grep -Eq '^hone( train)?: .{10,}' "$1"
}

# What DIR/status.json says was done is in DIR/run.db: looked at in a copy, for what is there is
# hone's to mend.
not_ahead() {
    local told
    told=$(grep -o '"step": *[0-9]*' "$1/status.json" 2>/dev/null | grep -o '[0-9]*$') || return 0
    [ "$told" -ne 0 ] || return 0
    rm -rf copy
    cp -r "$1" copy
    [ "$told" -le "$(sqlite3 copy/run.db "SELECT count(*) FROM steps WHERE state <> 'sampled'")" ]
}

# fault N AS: prints a word for how the start ended; nothing where something is wrong.
fault() {
    local rc=0
    rm -rf f
    shimmed f FAULT_AT="$1" FAULT_AS="$2" ${3:+FAULT_STICKS=1} >f.out 2>f.err || rc=$?
    case $rc in
        0) ;;
        6[5-9] | 7[0-8]) one_sentence f.err || return ;;
        137) [ "$2" = kill ] || return ;;
        *) return ;;
    esac
    not_ahead f || { echo "ahead of the log" >>f.err; return; }
    if [ $rc -eq 0 ] || go f >f.out 2>f.err; then same f >f.diff 2>&1 && echo "status $rc"; fi
}

# Every so many-th of all calls; the words for their ends are counted.
sweep() {
    local every=1 bad=0 word as=$1 sticks=${2:-}
    [ "$faults" -eq 0 ] || every=$(((calls + faults - 1) / faults))
    for ((i = 1 + RANDOM % every; i <= calls; i += every)); do
        word=$(fault $i "$as" "$sticks")
        if [ -z "$word" ]; then
            echo "call $(sed -n "${i}p" calls.txt), $as: $(head -n 3 f.err)"
            bad=1
        fi
        echo "$word" >>ends.txt
    done
    sort ends.txt | uniq -c | tr '\n' ',' | tr -s ' ' >sweep.txt
    rm ends.txt
    return $bad
}

said() { echo "# ends:$(sed 's/,$//' sweep.txt)"; }

t "the shim is built" 0 '' build_shim
t "a run without faults" 0 '' shimmed whole FAULT_LOG="$dir/calls.txt"
t "its rows" 0 '' run_rows whole
calls=$(wc -l <calls.txt)
echo "# $calls calls: $(cut -d' ' -f2 calls.txt | sort | uniq -c | sort -rn | tr -s ' \n' ' ')"
t "all kinds of calls are seen" 0 '^close fdatasync flock fsync (ftruncate )?ftruncate64 mkdir mmap open pwrite64 remove rename unlink write ' \
    sh -c 'cut -d" " -f2 calls.txt | sort -u | tr "\n" " "'
t "an error of the disk in each call" 0 '' sweep 5
said
# The first commit is of the stage, the next one of two steps: what is told is what is there.
lost_steps() {
    local stage rc=0
    stage=$(awk '/ rename .*step-0$/ { on = 1 } on && / fdatasync .*run.db-wal$/ { print $1; exit }' calls.txt)
    rm -rf f
    (args+=("$@") && shimmed f FAULT_AT=$((stage + 1)) FAULT_AS=5) >f.out 2>f.err || rc=$?
    python3 -c 'import json; s = json.load(open("f/status.json")); print(s["state"], s["step"], s["weights"], s["error"])'
    sqlite3 f/run.db 'SELECT (SELECT count(*) FROM steps), start_weights FROM runs'
    return $rc
}
told_is_there() {
    local rc=0 told there
    lost_steps "$@" >lost.out || rc=$?
    { read -r told && read -r there; } <lost.out
    echo "$told"
    [ "$there" = "0|$(cut -d' ' -f3 <<<"$told")" ] && return $rc
}
t "an error in a commit of several steps" 74 '^failed 0 [0-9a-f]{16} f/run.db: commit: disk I/O error' \
    told_is_there
# A step of so many traces takes longer than steps share a commit.
[[ $HONE == *asan* ]] || t "or of one that was still made" 74 '^failed 0 [0-9a-f]{16} f/run.db: ' \
    told_is_there --set sft.batch_size=8192
t "a disk that is full from a call on" 0 '' sweep 28 sticks
said
t "a kill in each call" 0 '' sweep kill
said

# --- a database that another program holds ------------------------------------------------

t "half a run" 0 'after --max-steps, 4 steps done' go half --max-steps 4
resumes() {
    go "$1" && same "$1"
}

# In the background: it takes the ten seconds that hone waits.
cp -r half locked
sqlite3 locked/run.db 'BEGIN IMMEDIATE' '.shell while [ ! -e unlock ]; do sleep 0.05; done' &
{
    go locked >locked.out 2>locked.err
    echo $? >locked.status
    touch unlock
} &
unlocked() {
    while [ ! -s locked.status ]; do sleep 0.05; done
    cat locked.err
    return "$(cat locked.status)"
}

# --- memory -------------------------------------------------------------------------------

# with_memory KILOBYTES THREADS
with_memory() {
    rm -rf m
    (ulimit -v "$1" && exec "$HONE" train "$tiny" --out m "${args[@]}" --threads "$2" >m.out 2>m.err)
}

# From too little for anything to enough, in steps; 127 is the loader's, before main.
short_of_memory() {
    local rc=0 refused=0 kib
    for ((kib = 40000; ; kib += $1)); do
        rc=0
        with_memory $kib $((1 + kib / 1000 % 2)) || rc=$?
        [ $rc -ne 127 ] || continue
        [ $rc -ne 0 ] || break
        refused=$((refused + 1))
        if [ $rc -ne 71 ] || ! one_sentence m.err || ! grep -Eq 'out of memory|start 2 threads|start a thread|Cannot allocate memory' m.err; then
            echo "with $kib KiB status $rc: $(head -n 3 m.err)"
            return 1
        fi
        if ! go m >m.out 2>&1 || ! same m; then
            echo "after $kib KiB: $(tail -n 3 m.out)"
            return 1
        fi
    done
    same m && echo "$refused refused"
}
if [[ $HONE == *asan* ]]; then
    echo "# SKIP memory: the sanitizer needs all there is to reserve"
else
    t "too little memory" 0 '^[1-9][0-9]* refused' short_of_memory $((faults > 0 ? 4000 : 250))
fi

# --- damage -------------------------------------------------------------------------------

# flip FILE OFFSET BIT
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "$(printf '\\%03o' $((byte ^ 1 << $3)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# A bit in the head of each page, which says what kind of page it is. In that of a table which
# has no rows, it goes unnoticed and does nothing.
damaged_pages() {
    local page pages at rc step=$1 found=0
    pages=$(($(stat -c %s half/run.db) / 16384))
    for ((page = 0; page < pages; page += step)); do
        at=$((page * 16384 + (page == 0 ? 100 : 0)))
        rm -rf d
        cp -r half d
        flip d/run.db $at 3
        cp d/run.db damaged.db
        rc=0
        go d >d.out 2>d.err || rc=$?
        if [ $rc -eq 0 ] && same d >d.out 2>&1; then continue; fi
        found=$((found + 1))
        if [ $rc -ne 65 ] || ! one_sentence d.err || ! cmp damaged.db d/run.db; then
            echo "page $page: status $rc, $(head -n 3 d.err)"
            return 1
        fi
        cp d.err damaged.txt
        flip d/run.db $at 3
        resumes d >d.out 2>&1 || { echo "page $page: $(tail -n 3 d.out)"; return 1; }
    done
    echo "$found of $pages pages: $(cat damaged.txt)"
}
t "a changed bit in a page of the database" 0 'd/run.db: damaged \(.*\); put back a copy' \
    damaged_pages $((faults > 0 ? 60 / faults : 1))

# damaged_checkpoint FILE HOW: the older checkpoint serves.
damaged_checkpoint() {
    local size
    rm -rf d
    cp -r half d
    size=$(stat -c %s "d/checkpoints/step-4/$1")
    case $2 in
        flip) flip "d/checkpoints/step-4/$1" $((size - 1 - (RANDOM * 32768 + RANDOM) % (size / 2))) 5 ;;
        cut) truncate -s $((size / 2)) "d/checkpoints/step-4/$1" ;;
        gone) rm "d/checkpoints/step-4/$1" ;;
    esac
    resumes d
}
for how in flip cut gone; do
    for file in model.safetensors optimizer.safetensors; do
        t "a checkpoint's $file: $how" 0 'checkpoint of step 4 is left out: .{20}' \
            damaged_checkpoint $file $how
    done
done

# --- the clock ----------------------------------------------------------------------------

behind() {
    cp -r half behind && shimmed behind FAULT_CLOCK=-40000000 && same behind
}
t "a clock set back by more than a year" 0 'resumed after step 4' behind
t "the times say so" 0 '^1$' sqlite3 behind/run.db \
    "SELECT julianday(min(finished_at)) < julianday((SELECT created_at FROM runs)) - 400 FROM steps"

# --- a folder that may not be written -----------------------------------------------------

# Root may write anything, so this is done as somebody else.
as_nobody() {
    local who=()
    [ "$(id -u)" -ne 0 ] || who=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    "${who[@]}" ./hone train tiny.json --out "$1" --threads 1 "${args[@]}"
}
readonly_folder() {
    local rc=0
    as_nobody "$1" >r.out 2>r.err || rc=$?
    cat r.err
    one_sentence r.err && return $rc
}
if [ "$(id -u)" -eq 0 ] && ! setpriv --reuid 65534 --clear-groups true 2>/dev/null; then
    echo "# SKIP a read-only folder: root may write it, and cannot become another user here"
else
    cp "$HONE" "$tiny" .
    chmod 755 . hone
    cp -r half readonly
    [ "$(id -u)" -ne 0 ] || chown -R 65534:65534 readonly
    chmod -R a-w readonly
    t "a folder that may not be written, a run in it" 73 'write into readonly: Permission denied' \
        readonly_folder readonly
    t "or a new one" 73 'readonly/new: Permission denied' readonly_folder readonly/new
    chmod -R u+w readonly
    chmod a-w readonly/run.db
    t "a database that may not be" 77 'open readonly/run.db: Permission denied' readonly_folder readonly
    chmod u+w readonly/run.db
    chmod a-w readonly/checkpoints
    t "a folder of checkpoints that may not be" 73 'checkpoints.*: Permission denied' readonly_folder readonly
    chmod u+w readonly/checkpoints
    t "with the right to write it goes on" 0 'resumed after step' as_nobody readonly
    t "to the same bytes" 0 '' same readonly
fi

# --- a full disk --------------------------------------------------------------------------

# full KIB: a disk of that size, then one of enough.
full() {
    local rc=0 bad=""
    mount -t tmpfs -o "size=${1}k" tmpfs disk || return 1
    go disk/run --no-estimate >full.out 2>full.err || rc=$?
    { [ $rc -eq 74 ] || [ $rc -eq 73 ]; } && one_sentence full.err && grep -q 'No space left\|is full' full.err ||
        bad="$1 KiB: status $rc, $(head -n 3 full.err)"
    mount -o remount,size=16m disk
    [ -n "$bad" ] || resumes disk/run >full.out 2>&1 || bad="$1 KiB: $(tail -n 3 full.out)"
    umount disk
    echo "$bad"
    [ -z "$bad" ]
}
full_disks() {
    local kib most
    most=$(du -sk whole | cut -f1)
    for ((kib = 40; kib < most; kib += (most - 40) / $1)); do full $kib || return 1; done
}
mkdir disk
if mount -t tmpfs -o size=40k tmpfs disk 2>/dev/null; then
    umount disk
    t "a full disk" 0 '' full_disks $((faults > 0 ? 4 : 40))
else
    echo "# SKIP a full disk: no small one can be mounted here"
fi

t "another program's lock ends the start after ten seconds" 75 'locked/run.db: .*database is locked' unlocked
t "and the next one goes on" 0 '' resumes locked
finish
