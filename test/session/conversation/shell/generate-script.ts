/** Numbers from 0 to 1, the same for a seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

type Form = (inner: () => string, bin: string) => string;

/** Ways of writing the programs `victim` and `other`, which are files in `bin`, or of only naming them. */
const SIMPLE: readonly string[] = [
  'victim push a',
  'victim push',
  'victim -C . push b',
  'victim --no-pager -c x push',
  'v"icti"m push',
  '\\victim push',
  '\'victim\' "push"',
  "$'\\x76ictim' push",
  '$BIN/victim push',
  'X=victim; $X push',
  'X="victim push"; $X',
  'set -- victim push; "$@"',
  'victim status',
  'victim status -s "a b"',
  'victim status *.x',
  'other run',
  'other run "fix (parser)"',
  'victim pull push',
  'other victim push',
  'echo victim push',
  'echo "victim push"',
  "printf '%s\\n' 'victim push'",
  'true',
];

/** Whatever a shell may have around a command. */
const AROUND: readonly Form[] = [
  (c) => `env ${c()}`,
  (c) => `env -u Y Z=1 ${c()}`,
  (c) => `nohup ${c()}`,
  (c) => `nice -n 1 ${c()}`,
  (c) => `timeout 5 ${c()}`,
  (c) => `timeout -k 1 5 ${c()}`,
  (c) => `stdbuf -o0 ${c()}`,
  (c) => `command ${c()}`,
  (c) => `command -p -- ${c()}`,
  (c) => `time ${c()}`,
  (c) => `time -p ${c()}`,
  (c) => `! ${c()}`,
  (c) => `exec ${c()}`,
  (c) => `setsid -w ${c()}`,
  (c) => `echo x | xargs ${c()}`,
  (c) => `echo push | xargs victim; ${c()}`,
  (c) => `bash -c ${quoted(c())}`,
  (c) => `sh -ec ${quoted(c())} name`,
  (c) => `env -S ${quoted(c())}`,
  (c) => `eval ${quoted(c())}`,
  (c) => `eval eval ${quoted(quoted(c()))}`,
  (c) => `bash <<'END'\n${c()}\nEND\n`,
  (c) => `bash <<< ${quoted(c())}`,
  (c) => `echo ${quoted(c())} | bash`,
  (c) => `echo ${quoted(c())} > s.sh; . ./s.sh`,
  (c) => `echo ${quoted(c())} > s; bash s`,
  (c) => `trap ${quoted(c())} EXIT`,
  (c) => `f() { ${c()}; }; f`,
  (c) => `function f { ${c()}; }; f`,
  (c) => `if true; then ${c()}; fi`,
  (c) => `if ${c()}; then true; else ${c()}; fi`,
  (c) => `while ${c()}; false; do true; done`,
  (c) => `for i in 1; do ${c()}; done`,
  (c) => `for ((i = 0; i < 1; i++)); do ${c()}; done`,
  (c) => `case x in x) ${c()} ;; esac`,
  (c) => `{ ${c()}; }`,
  (c) => `(${c()})`,
  (c) => `( (${c()}) )`,
  (c) => `${c()} & wait`,
  (c) => `${c()} | cat`,
  (c) => `cat < <(${c()})`,
  (c) => `echo "$(${c()})"`,
  (c) => `echo \`${c().replaceAll(/[\\\`$]/g, '\\$&')}\``,
  (c) => `A=$(${c()})`,
  (c) => `A=(1 "$(${c()})")`,
  (c) => `echo \${A:-$(${c()})}`,
  (c) => `: $((1 + $(${c()} > /dev/null; echo 1)))`,
  (c) => `[[ -n $(${c()}) ]]`,
  (c) => `cat << END\n$(${c()})\nEND\n`,
  (c) => `coproc ${c()}\nwait`,
  (c) => `find . -maxdepth 0 -exec ${c()} \\;`,
  (c) => `find . -maxdepth 0 -exec sh -c ${quoted(c())} \\;`,
  (c) => `A=1 ${c()}`,
  (c) => `${c()} > /dev/null`,
  (c) => `${c()} 2>&1`,
  (c) => `${c()} > out`,
  (c) => `${c()} && ${c()}`,
  (c) => `${c()} || ${c()}`,
  (c) => `${c()}; ${c()}`,
  (c) => `${c()}\n${c()} # a comment; victim push`,
  (c) => `alias g=${quoted(c())}; shopt -s expand_aliases\ng`,
  (c) => `x='a[$(${c().replaceAll("'", '"')})]'; : $((x))`,
  (c) => `cd . && ${c()}`,
];

/** A script of some depth. */
export function generateScript(random: () => number, bin: string, depth = 0): string {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  if (depth >= 3 || random() < 0.2) return pick(SIMPLE).replace('$BIN', bin);
  return pick(AROUND)(() => generateScript(random, bin, depth + 1), bin);
}
