# Brokers and load for script/bench and script/soak, which set
#   bin="" or a directory of programs   dir, out: where data and figures go   port: the first to try
#   plain_only=yes|no                   more_options: lines for Parley's configuration
# and have say and die. Sourced from the repository's top; ends what it started when the script ends.

work="" data="" broker="" made_users=0 data_count=0
version="built before"
cleanup() {
  stop_broker
  if [ -n "$work" ]; then rm -rf "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# prepare TARGET…: builds what is needed, and the targets, unless $bin has it; makes $out and $work.
prepare() {
  if [ -z "$bin" ]; then
    local targets=(parley_load)
    if [ $plain_only = no ]; then targets+=(mosquitto_parley parley_io parleyctl parley_tokens "$@"); fi
    say "building"
    script/build --quiet release "${targets[@]}"
    bin=build/bin
    version=$(git describe --always --dirty 2>/dev/null || echo '?')
  fi
  bin=$(cd "$bin" && pwd)
  mkdir -p "$out"
  out=$(cd "$out" && pwd)
  work=$(mktemp -d "$dir/parley-bench.XXXXXX")
  chmod 755 "$work"
  # A file descriptor for each connection, in the broker too.
  ulimit -S -n "$(ulimit -H -n)"
  busy=$(busy_percent)
  if [ "$busy" -gt 5 ]; then say "the machine is $busy % busy with something else: expect noise"; fi
}

# How busy all CPUs are, over a second.
busy_percent() {
  local before after
  before=$(head -n 1 /proc/stat)
  sleep 1
  after=$(head -n 1 /proc/stat)
  printf '%s\n' "$before" "$after" | awk '{
    idle = $5 + $6; all = 0
    for (i = 2; i <= 9; i++) all += $i
    if (NR == 2) printf "%.0f\n", 100 * (1 - (idle - idle0) / (all - all0))
    idle0 = idle; all0 = all
  }'
}

# make_users N: a data directory with users u0 … and tokens for them, where there is none yet.
make_users() {
  if [ $plain_only = yes ] || [ "$made_users" -ge "$1" ]; then return; fi
  made_users=$1
  data_count=$((data_count + 1))
  data=$work/data-$data_count
  import_users "$1"
  "$bin/parley_tokens" "$data" "$1" >"$work/credentials"
}

# import_users N: a new directory $data with them.
import_users() {
  seq 0 $(($1 - 1)) | sed 's/.*/u&,/' >"$work/users.csv"
  "$bin/parleyctl" --data "$data" init >/dev/null
  "$bin/parleyctl" --data "$data" user import "$work/users.csv" >/dev/null 2>"$work/import.log" ||
    { cat "$work/import.log" >&2; die "parleyctl can't import the users"; }
  chown -R "$(id -u):$(id -g)" "$data"  # the broker's user; root's parleyctl gives it to Mosquitto's
}

# renew_users N: the same on a data directory that nobody has written to, in place of the one before.
renew_users() {
  made_users=0
  if [ -n "$data" ]; then rm -rf "$data"; fi
  make_users "$1"
}

# configuration KIND: mosquitto.conf with our listener, and the plugin's part for our data or none.
# KIND is plain, parley, or preload: Parley with libparley_io.so and jemalloc.
# The broker stays the user that runs this, who can read the plugin wherever it was built.
configuration() {
  awk -v kind="$1" -v port="$port" -v plugin="${bin%/bin}/lib/mosquitto_parley.so" \
    -v data="$data" -v user="$(id -un)" -v more="$more_options" '
    BEGIN { parley = kind != "plain" }
    /^(log_dest|allow_anonymous|plugin_opt_user_rate|plugin_opt_durability) / { next }
    /^listener / { print "listener " port " 127.0.0.1"; next }
    /^plugin / { if (parley) print "plugin " plugin; next }
    /^plugin_opt_data_dir / { if (parley) print "plugin_opt_data_dir " data; next }
    /^plugin_opt_/ { if (parley) print; next }
    { print }
    END {
      if (parley) { print "plugin_opt_user_rate 0"; print "plugin_opt_durability commit" }
      if (parley) print more
      print "allow_anonymous " (parley ? "false" : "true")
      print "log_dest stderr"
      print "user " user
    }' mosquitto.conf
}

# Starts a broker and waits until it serves; sets broker, broker_options and started_ms.
start_broker() {
  local kind=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  configuration "$kind" >"$work/$kind.conf"
  local preload=()
  if [ "$kind" = preload ]; then preload=(LD_PRELOAD="libjemalloc.so.2:${bin%/bin}/lib/libparley_io.so"); fi
  env "${preload[@]}" "$(PATH=$PATH:/usr/sbin command -v mosquitto)" -c "$work/$kind.conf" \
    </dev/null >"$work/$kind.log" 2>&1 &
  broker=$!
  broker_options=(--port "$port" --pid "$broker")
  if [ "$kind" = plain ]; then
    broker_options+=(--plain)
  else
    broker_options+=(--credentials "$work/credentials")
  fi
  started_ms=$(load wait "$kind" | field_of_line waited_ms)
  [ -n "$started_ms" ] || die "no start"
}

stop_broker() {
  # In the trap, a bare return would hand on the failure that led there.
  if [ -z "$broker" ]; then return 0; fi
  kill -TERM "$broker" 2>/dev/null || true
  wait "$broker" || true
  broker=
  port=$((port + 1))
}

# load MODE KIND OPTION…: one run against the running broker, as a line of JSON.
load() {
  local mode=$1 kind=$2 status=0
  shift 2
  "$bin/parley_load" "$mode" "${broker_options[@]}" --json "$@" || status=$?
  if [ $status = 0 ]; then return; fi
  tail -n 5 "$work/$kind.log" >&2
  die "parley_load $mode failed on $kind (exit code $status): a run with faults has no figures"
}

# field_of_line NAME: a number in lines of JSON on stdin.
field_of_line() { sed -n "s/.*\"$1\":\(-\{0,1\}[0-9.]*\).*/\1/p"; }

# What a table was measured on.
machine_line() {
  local cpu
  cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  echo "$(date -u +%F), $(nproc) × $cpu, Linux $(uname -r | cut -d- -f1)," \
    "$(PATH=$PATH:/usr/sbin mosquitto -h | head -n 1)," \
    "Parley $version."
}
