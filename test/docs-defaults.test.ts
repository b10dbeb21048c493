import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { SLOTS_OF } from '../src/activities/slots-of.js';
import { BUDGETS } from '../src/budgets/budgets.js';
import { createProgram } from '../src/cli/program.js';
import { processIo } from '../src/cli/io.js';
import { DEFAULT_EXCLUDES } from '../src/snapshots/snapshot-excludes.js';
import { CA_NAMES } from '../src/codex/child-environment.js';
import { parseTaskInput } from '../src/input/parse-task-input.js';
import { FAULTS, isLong, OUT, OUTAGES } from './chaos/faults-of-chaos.js';
import { PHASE_ORDER } from './chaos/plan.js';
import { all, allDocuments, documents, part, read, sourceFiles } from './support/documents.js';

const readme = read('README.md');
const tasks = read('docs/tasks.md');
const listener = read('docs/listener.md');
const program = createProgram(processIo());

const named = (command: Command, name: string) => command.commands.find((each) => each.name() === name);
const leavesOf = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
const flagsOf = (command: Command): (string | undefined)[] => [
  '--help',
  ...command.options.map(({ long }) => long),
];

/** What is wrong with a command line of a document; null: nothing. `a|b` stands for both. */
function faultOf(line: string): string | null {
  let at: Command = program;
  for (const word of line.split(/\s+/)) {
    if (at.commands.length === 0 || word.startsWith('-') || word === '…') break;
    const found = word.split('|').map((each) => named(at, each));
    if (found.some((each) => !each)) return `${line}: no command ${word}`;
    at = found[0]!;
  }
  const flags = all(/(?:^|\s|\[)(--[a-z][a-z-]*)/g, line);
  const wrong = flags.filter((flag) => flag !== '--version' && !flagsOf(at).includes(flag));
  return wrong.length > 0 ? `${line}: no option ${wrong.join(', ')}` : null;
}

test('every command line in the documents has a known command and known options', () => {
  const lines = documents.flatMap(({ text }) => [
    ...all(/`codex-task ([^`\n]+)`/g, text),
    ...all(/^ *codex-task (.+?)(?: {2,}.*| #.*|\\)?$/gm, text),
  ]);
  const ofSeeds = all(
    /^\| `([a-z].*?)` +\|/gm,
    part(read('docs/seeds.md'), '| `codex-task seeds …`', '\n\n'),
  );
  expect(lines.length).toBeGreaterThan(20);
  expect(ofSeeds.length).toBeGreaterThan(8);
  const seeds = ofSeeds
    .flatMap((row) => row.split(/`, `/))
    .map((row) => `seeds ${row.replaceAll('\\|', '|')}`);
  expect([...lines, ...seeds].flatMap((line) => faultOf(line) ?? [])).toEqual([]);
});

test('every command takes --json, except those that README excludes', () => {
  expect(readme).toContain('Every command takes `--json`');
  const without = leavesOf(program).filter((command) => !flagsOf(command).includes('--json'));
  expect(without.map((command) => command.name())).toEqual([]);
  const missing = all(/`([a-z]+)`/g, part(readme, '## Not there yet', 'After a task'));
  expect(missing.length).toBeGreaterThan(3);
  expect(missing.filter((name) => named(program, name))).toEqual([]);
});

test('docs/listener.md lists exactly the routes of the listener, each with a section', () => {
  const code = read('src/listener/task-routes.ts');
  const routes = [...code.matchAll(/router\.(get|post)\('\/(\w+)'/g)]
    .map(([, method = '', path]) => `${method.toUpperCase()} ${path}`)
    .sort();
  const rows = part(listener, '| Route ', '\n\n')
    .split('\n')
    .flatMap((row) => {
      const [, method, path = ''] = /^\| `(GET|POST) \/tasks\/<id>\/(\w+)/.exec(row) ?? [];
      const more = all(/, `\/(\w+)`/g, row.split('|')[1] ?? '');
      return method === undefined ? [] : [path, ...more].map((each) => `${method} ${each}`);
    });
  expect(rows.sort()).toEqual(routes);
  const headings = [...listener.matchAll(/^### `(GET|POST) \/tasks\/<id>\/(\w+)[^`]*`(?:, `\/(\w+)`)?$/gm)];
  const described = headings.flatMap(([, method, path, more]) =>
    [path, more].flatMap((each) => (each === undefined ? [] : [`${method} ${each}`])),
  );
  expect(described.sort()).toEqual(routes);
});

test('limits and lists have the defaults that the documents state', () => {
  const { limits, snapshot } = parseTaskInput({}, 't1');
  const inWords = (bytes: number) => bytes.toLocaleString('en-US');
  expect(listener).toContain(`\`limits.downloadBytes\` (${inWords(limits.downloadBytes)})`);
  expect(listener).toContain(`\`limits.uploadBytes\` (${inWords(limits.uploadBytes)})`);
  expect(tasks).toContain(`the newest ${snapshot.keep} are\nkept`);
  expect(read('docs/snapshots.md')).toContain(`the \`keep\` (${snapshot.keep}) newest`);
  expect(tasks).toContain(DEFAULT_EXCLUDES.map((each) => `\`${each}\``).join(', '));
  expect(read('docs/snapshots.md')).toContain(`\`${DEFAULT_EXCLUDES.join(' ')}\``);
  const kib = `${BUDGETS.requestInput / 1024} KiB`;
  expect(read('src/contract/permissions.ts')).toContain(`cut when over ${kib}`);
  expect(read('docs/approvals.md')).toContain(`A request larger than ${kib}`);
});

test('the contract states the default of each of its settings that has one', () => {
  const contract = read('src/contract/input.ts');
  const { sandbox, approvals, snapshot, limits, mode, credential, hostProtocol } = parseTaskInput({}, 't1');
  const told = (field: string) =>
    new RegExp(`\\*\\/\\n  ${field}\\?:`).test(contract)
      ? contract
          .split(new RegExp(`\\n  ${field}\\?:`))[0]!
          .split('/**')
          .at(-1)
      : 'nothing';
  const inWords = (count: number) => count.toLocaleString('en-US');
  expect(contract).toContain(`\`${mode}\` (default)`);
  expect(credential).toEqual({ pool: 'default' });
  expect(told('credential')).toContain("Default `{ pool: 'default' }`");
  expect(told('hostProtocol')).toContain(`default ${hostProtocol}`);
  expect(contract).toContain(`/** Default \`${sandbox.mode}\`. */\n  mode?: SandboxMode`);
  expect(told('network')).toContain(`default ${sandbox.network}`);
  expect(told('git')).toContain(`default \`${sandbox.git}\``);
  expect(told('policy')).toContain(`default \`${approvals.policy}\``);
  expect(told('onTimeout')).toContain(`Default \`${approvals.onTimeout}\``);
  expect(approvals.timeoutMs).toBeNull();
  expect(told('keep')).toContain(`default ${snapshot.keep}.`);
  expect(told('checkpoint')).toContain(`default \`${snapshot.checkpoint}\``);
  for (const name of ['turnMs', 'idleMs', 'uploadBytes', 'downloadBytes'] as const)
    expect(told(name)).toContain(`default ${inWords(limits[name])}.`);
  expect(limits.totalMs).toBeNull();
});

test('docs/deployment.md names each certificate variable that commands get', () => {
  const [, sentence = ''] =
    /and `SSL_CERT_FILE`([\s\S]*?)where the worker has them/.exec(read('docs/deployment.md')) ?? [];
  expect(['SSL_CERT_FILE', ...all(/`(\w+)`/g, sentence)].sort()).toEqual([...CA_NAMES].sort());
});

test('docs/chaos.md has each point and each fault', () => {
  const page = read('docs/chaos.md');
  expect(all(/^\| `([\w-]+)`/gm, part(page, '| Point ', '\n\n'))).toEqual([...PHASE_ORDER].sort());
  const table = part(page, '| Fault ', '\n\n');
  const short = FAULTS.filter((fault) => !isLong(fault));
  expect(short.filter((fault) => !table.includes(`\`${fault}\``))).toEqual([]);
  expect(OUT.filter((outage) => !table.includes(`\`${outage}`))).toEqual([]);
  expect(table).toContain(`${Object.values(OUTAGES).slice(0, 2).join(', ')} and ${OUTAGES.longest} times`);
});

test('every activity is in ARCHITECTURE’s table, on its queue', () => {
  const rows = part(read('ARCHITECTURE.md'), '| Queue ', '\n\n').split('\n');
  const isOf = { shared: '| `codex-tasks`', claims: '| `codex-claims`', host: '| `codex-host.' } as const;
  const missing = Object.entries(SLOTS_OF).filter(
    ([name, { queue }]) =>
      // Of a verification, which the table names as a whole.
      !/^(checkSeed|listSeedsToVerify)$/.test(name) &&
      !rows.some((row) => row.startsWith(isOf[queue]) && row.includes(`\`${name}\``)),
  );
  expect(missing).toEqual([]);
});

test('docs/tasks.md names exactly the signals, queries and updates of the contract', () => {
  const contract = read('src/contract/signals.ts');
  const sentence = part(tasks, '\nSignals: ', 'What a signal brings');
  const [signals = '', queries = '', updates = ''] = sentence.split(/Queries: |Updates: /);
  expect(all(/`(\w+)`/g, signals)).toEqual([
    'close',
    'interrupt',
    'permissionDecision',
    'sendMessage',
    'setControl',
    'setRules',
  ]);
  const defined = (kind: string) =>
    all(new RegExp(`define${kind}(?:<[\\s\\S]*?>)?\\('(\\w+)'\\)`, 'g'), contract);
  expect(defined('Signal')).toEqual(expect.arrayContaining(all(/`(\w+)`/g, signals)));
  expect(defined('Query')).toEqual(all(/`(\w+)`/g, queries));
  expect(defined('Update')).toEqual(all(/`(decidePermission|send)`/g, updates));
});

test('docs/account.md describes the account warnings that events carry', () => {
  const [, kinds = ''] =
    /kind: ('quarantined'[^;]+);/.exec(read('src/session/account/task-account.ts')) ?? [];
  const table = part(read('docs/account.md'), '| `kind` ', '\n\n');
  expect(all(/^\| `([\w-]+)`/gm, table)).toEqual(all(/'([\w-]+)'/g, kinds));
});

test('docs/seeds.md has each state of a seed', () => {
  const [, states = ''] = /type SeedState =([^;]+);/.exec(read('src/store/seed-info.ts')) ?? [];
  const table = part(read('docs/seeds.md'), '| State ', '\n\n');
  expect(all(/^\| `([\w-]+)`/gm, table)).toEqual(all(/'([\w-]+)'/g, states));
});

test('documents name who decided as the code does', () => {
  const code = sourceFiles.map(read).join('\n');
  const words = all(/`([a-z-]+)`/g, part(listener, '`decidedBy` is ', '\n\n'));
  expect(words.length).toBeGreaterThan(10);
  expect(words.filter((word) => !new RegExp(`'${word}'|\\b${word}: \\d`).test(code))).toEqual([]);
});

test('every log event that the documents name is written by the code', () => {
  const code = sourceFiles.map(read).join('\n');
  const inputs = sourceFiles
    .filter((name) => name.startsWith('src/contract/'))
    .map(read)
    .join('\n');
  const dotted = all(/`([a-z]+(?:\.[a-zA-Z]+)+)`/g, allDocuments).filter(
    (name) => !/\.(ts|js|json|jsonl|md|toml|log|yml|sock|py|service|sse|lock)$/.test(name),
  );
  const isField = (name: string) => new RegExp(`\\b${name.split('.').at(-1)}\\??:`).test(inputs);
  const unknown = dotted.filter((name) => !code.includes(`'${name}'`) && !isField(name));
  // A setting of git, and one of Temporal's server.
  expect(unknown).toEqual(['core.fsmonitor', 'matching.enableFairness']);
});
