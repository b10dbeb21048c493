// node bench/run.mjs [--runs N]: the listener and the journal beside a bare Node server, and beside the Python
// package when PEER_PYTHON and PEER_BENCH are set; then deltas through a conversation, a subscriber that never
// reads, real parts, rotations of a credential, and snapshots. `--only http,stream,real,rotation,snapshots` runs
// some of these. Prints a table; exits 1 when a target is missed.
import { here, median, startChild } from './lib.mjs';
import { ingest } from './ingest.mjs';
import { realRows, rotationRows, streamRows } from './more-rows.mjs';
import { snapshotRows } from './snapshots.mjs';

const runs = Number(process.argv[process.argv.indexOf('--runs') + 1] || 0) || 3;
const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1] : '';
const wants = (part) => only === '' || only.split(',').includes(part);
const { PEER_PYTHON, PEER_BENCH } = process.env;
const servers = {
  ours: [process.execPath, here('listener-server.mjs')],
  bare: [process.execPath, here('bare-server.mjs')],
  ...(PEER_PYTHON && PEER_BENCH && { python: [PEER_PYTHON, `${PEER_BENCH}/peer_adapter.py`, 'listener'] }),
};
const FANOUT = { subscribers: 100, skip: 200, size: 300 };

const results = {};
for (let run = 0; run < runs && wants('http'); run++) {
  for (const [name, argv] of Object.entries(servers)) {
    const add = (row, figures) => ((results[row] ??= {})[name] ??= []).push(figures);
    add('burst', await fanOut(argv, { ...FANOUT, count: 1_000 }));
    add('paced', await fanOut(argv, { ...FANOUT, skip: 50, count: 500, rate: 100 }));
    add('replay', await replay(argv));
    if (name === 'ours')
      add('many', await fanOut(argv, { ...FANOUT, subscribers: 500, skip: 20, count: 200 }));
  }
  ((results.ingest ??= {}).ours ??= []).push(await ingest());
}
const more = [];
if (wants('stream')) more.push(...(await streamRows(runs)));
if (wants('real')) more.push(...(await realRows()));
if (wants('rotation')) more.push(...(await rotationRows()));
if (wants('snapshots')) more.push(...(await snapshotRows(runs)));
print();

/** CPU of the server for each delivery, and how old events are when they arrive. */
async function fanOut(argv, { subscribers, skip, count, size, rate = 0 }) {
  const server = startChild(argv);
  const { url, user, password, events_path } = await server.wait('url');
  const client = startClient({ url: url + events_path, ...authOf(user, password), subscribers, skip, count });
  await client.wait('connected');
  server.send({ cmd: 'emit', n: skip, size, rate: 0 });
  await client.wait('warm');
  const before = server.cpuSeconds();
  server.send({ cmd: 'emit', n: count, size, rate });
  const done = await client.wait('done');
  const cpu = server.cpuSeconds() - before;
  const { peak } = server.memoryMb();
  await server.quit();
  if (done.wrong > 0) throw new Error(`${done.wrong} events were missing or out of order`);
  return {
    cpuUs: (cpu * 1e6) / done.deliveries,
    p50: done.p50,
    p99: done.p99,
    peak,
    perS: done.deliveries / done.wall,
  };
}

async function replay(argv) {
  const server = startChild(argv);
  const { url, user, password, events_path } = await server.wait('url');
  server.send({ cmd: 'emit', n: 1_000, size: 300, rate: 0 });
  await server.wait('emitted');
  const client = startClient({ url: url + events_path, ...authOf(user, password), repeat: 20, count: 1_000 });
  const { p50, max } = await client.wait('replay');
  await server.quit();
  return { p50, max };
}

function startClient(options) {
  return startChild([process.execPath, here('sse-client.mjs'), JSON.stringify(options)]);
}

function authOf(user, password) {
  return password === undefined
    ? {}
    : { auth: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

function print() {
  const of = (row, name, figure) => {
    const measured = results[row]?.[name]?.map((each) => each[figure]);
    return measured ? median(measured) : null;
  };
  const rows = [
    [
      'server CPU per delivery, burst, 100 subscribers (µs)',
      'burst',
      'cpuUs',
      '≤ 1/40 of Python',
      1 / 40,
      14,
    ],
    [
      'server CPU per delivery, 100 events/s, 100 subscribers (µs)',
      'paced',
      'cpuUs',
      '≤ 1/4 of Python',
      1 / 4,
      25,
    ],
    ['age of an event on arrival, the same, p50 (ms)', 'paced', 'p50', '≤ 1', null, 1],
    ['replay of 1,000 events, p50 (ms)', 'replay', 'p50', '≤ 2', null, 2],
  ];
  const head = ['what', 'target', 'ours', 'bare Node', 'Python', 'met'];
  const lines = [];
  const shown = (value) =>
    value === null
      ? '–'
      : value < 10
        ? value.toFixed(2)
        : value < 20
          ? value.toFixed(1)
          : Math.round(value).toLocaleString('en');
  for (const [what, row, figure, target, share, fixed] of rows) {
    const [ours, bare, python] = ['ours', 'bare', 'python'].map((name) => of(row, name, figure));
    // Without the package beside us, the figure that DESIGN has for it.
    const limit = share === null ? fixed : (python ?? fixed) * share;
    lines.push([what, target, shown(ours), shown(bare), shown(python), ours <= limit]);
  }
  const written = of('ingest', 'ours', 'perS');
  lines.push([
    'journal → one subscriber (events/s)',
    '≥ 200,000',
    shown(written),
    '–',
    '–',
    written >= 200_000,
  ]);
  const peak = of('many', 'ours', 'peak');
  lines.push(['500 subscribers, burst: peak memory (MB)', 'bounded', shown(peak), '–', '–', true]);
  const perDelivery = of('many', 'ours', 'cpuUs');
  lines.push(['500 subscribers, burst: CPU per delivery (µs)', '–', shown(perDelivery), '–', '–', true]);
  if (!wants('http')) lines.length = 0;
  const times = (ratio) => (ratio === null ? '' : ` (${ratio.toFixed(1)} ×)`);
  for (const { what, target, ours, bare = null, python = null, ratio = null, met } of more)
    lines.push([what, target, shown(ours) + times(ratio), shown(bare), shown(python), met]);
  for (const [i, line] of [head, ...lines].entries()) {
    console.log(
      `| ${line.map((cell) => (cell === true ? 'yes' : cell === false ? 'NO' : cell)).join(' | ')} |`,
    );
    if (i === 0) console.log(`|${line.map(() => '---|').join('')}`);
  }
  if (lines.some((line) => line.at(-1) === false)) process.exitCode = 1;
}
