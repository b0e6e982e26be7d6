#!/bin/sh
# What holdfast's agent does to its node, in a container that sees the node's processes. All harm heals by itself, for
# whoever ordered it may not reach this node any more, and by a process of the node's own, for this container may go:
#   harm.sh stay                              until it is told to end; what is held here goes on then
#   harm.sh cut NAME SECONDS [NETWORK]        no packet comes or goes, or none of a network
#   harm.sh is_cut NAME                       fails until that cut is there
#   harm.sh heal                              whatever was cut here is whole again
#   harm.sh hold SIGNAL SECONDS SOCKET        whoever serves a CSI socket gets a signal, again and again
#   harm.sh release SOCKET                    and goes on, and serves
#   harm.sh kill SECONDS NAME...              all processes with these names die, again and again, from a moment on
#   harm.sh signal SIGNAL NAME...             or get a signal once
set -eu
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

HELD=/tmp/holdfast-held
TABLE=holdfast_cut

fail() {
  echo "$*" >&2
  exit 1
}

on_node() {
  nsenter -t 1 -m -u -i -n -- "$@"
}

# A process of the node's own: the words of a shell, and its arguments. It keeps nothing open of whoever ordered it:
# the answer to that one would wait for its end.
on_node_apart() {
  (
    exec </dev/null >/dev/null 2>&1
    # shellcheck disable=SC2016 # for the shell over there
    on_node setsid sh -c '
      for group in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
        echo $$ >"$group" 2>/dev/null || true
      done
      words=$1
      shift
      exec sh -c "$words" "$@"' apart "$@"
  ) &
}

need_nft() {
  on_node sh -c 'command -v nft' >/dev/null || fail "the node has no nft: give a command in faults: cut"
}

cut_off() {
  name=$1 seconds=$2 network=${3:-}
  need_nft
  if [ -z "$network" ]; then
    input='iif != lo drop' output='oif != lo drop' forward='drop'
  else
    family=ip
    case $network in *:*) family=ip6 ;; esac
    input="$family saddr $network drop" output="$family daddr $network drop" forward="$input; $output"
  fi
  rules="table inet ${TABLE}_$name {
    chain input { type filter hook input priority -300; $input; }
    chain output { type filter hook output priority -300; $output; }
    chain forward { type filter hook forward priority -300; $forward; }
  }"
  # what is wrong with the rules is said before anything is done
  echo "$rules" | on_node nft -c -f -
  # the answer to whoever ordered this goes first; then the cut and its end are one process's
  # shellcheck disable=SC2016
  on_node_apart '
    sleep 1
    echo "$1" | nft -f - || exit
    sleep "$2"
    while nft list table inet "$0" >/dev/null 2>&1; do
      nft delete table inet "$0"
      sleep 1
    done' "${TABLE}_$name" "$rules" "$seconds"
}

heal() {
  on_node nft list tables | while read -r _ family table; do
    case $table in
    "${TABLE}"_*) on_node nft delete table "$family" "$table" ;;
    esac
  done
}

# The processes that listen on a socket of the node's, under whatever name their own container has it.
listeners() {
  wanted=$(stat -L -c %d:%i "/proc/1/root$1" 2>/dev/null) || return 0
  seen=' '
  for process in /proc/[0-9]*; do
    network=$(readlink "$process/ns/net" 2>/dev/null) || continue
    case $seen in *" $network "*) continue ;; esac
    seen="$seen$network "
    # number, references, protocol, flags, type, state, inode, path
    grep -F "/${1##*/}" "$process/net/unix" 2>/dev/null | while read -r _ _ _ flags _ _ inode path; do
      [ "$flags" = 00010000 ] && [ "${path##*/}" = "${1##*/}" ] || continue
      for open in $(ls -l /proc/[0-9]*/fd 2>/dev/null | awk -v socket="socket:[$inode]" '
        /^\/proc\// { process = $1; gsub(/[^0-9]/, "", process) }
        $NF == socket { print process }'); do
        # it is the same socket where that process sees the same file
        if [ "$(stat -L -c %d:%i "/proc/$open/root$path" 2>/dev/null)" = "$wanted" ]; then
          echo "$open"
        fi
      done
    done
  done | sort -u
}

named() {
  for process in /proc/[0-9]*; do
    read -r name <"$process/comm" 2>/dev/null || continue
    for wanted in "$@"; do
      # the kernel keeps fifteen letters
      if [ "$name" = "$(printf %.15s "$wanted")" ]; then
        echo "${process#/proc/}"
      fi
    done
  done
}

hold() {
  signal=$1 seconds=$2 socket=$3
  held=$(listeners "$socket")
  [ -n "$held" ] || fail "nobody serves $socket"
  printf %s "$socket" >"$HELD"
  # shellcheck disable=SC2016,SC2086 # one word for each
  on_node_apart 'sleep "$0"; kill -CONT "$@"' "$seconds" $held
  # shellcheck disable=SC2086
  kill -"$signal" $held
  (
    exec </dev/null >/dev/null 2>&1
    setsid "$0" keep "$signal" "$(($(date +%s) + seconds))" "$socket"
  ) &
}

# Until a time, or until it is released: whoever starts it again does so in vain.
keep() {
  signal=$1 end=$2 socket=$3
  while [ -e "$HELD" ] && [ "$(date +%s)" -lt "$end" ]; do
    for process in $(listeners "$socket"); do
      kill -"$signal" "$process" 2>/dev/null || true
    done
    sleep 1
  done
  rm -f "$HELD"
  let_go "$socket"
}

let_go() {
  for process in $(listeners "$1"); do
    kill -CONT "$process" 2>/dev/null || true
  done
}

release() {
  rm -f "$HELD"
  let_go "$1"
  [ -n "$(listeners "$1")" ] || fail "nobody serves $1 yet"
}

stay() {
  trap 'if [ -e "$HELD" ]; then release "$(cat "$HELD")" || true; fi; exit 0' TERM
  tail -f /dev/null &
  wait
}

order=$1
shift
case $order in
stay) stay ;;
can_cut) need_nft ;;
cut) cut_off "$@" ;;
is_cut) on_node nft list table inet "${TABLE}_$1" >/dev/null ;;
heal) heal ;;
hold) hold "$@" ;;
keep) keep "$@" ;;
release) release "$@" ;;
kill)
  seconds=$1
  shift
  [ -n "$(named "$@")" ] || fail "no process is called $*"
  # shellcheck disable=SC2016
  on_node_apart '
    sleep 1
    end=$(($(date +%s) + $0))
    while [ "$(date +%s)" -lt "$end" ]; do
      for process in /proc/[0-9]*; do
        read -r name <"$process/comm" 2>/dev/null || continue
        for wanted in "$@"; do
          if [ "$name" = "$(printf %.15s "$wanted")" ]; then kill -KILL "${process#/proc/}" 2>/dev/null; fi
        done
      done
      sleep 1
    done' "$seconds" "$@"
  ;;
signal)
  signal=$1
  shift
  processes=$(named "$@")
  [ -n "$processes" ] || fail "no process is called $*"
  # shellcheck disable=SC2086
  kill -"$signal" $processes
  ;;
*) fail "there is no order $order" ;;
esac
