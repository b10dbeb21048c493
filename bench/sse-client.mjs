// Subscribers on raw sockets in a process of their own. Arguments: one JSON object
// {url, auth?, subscribers, skip, count} or {url, auth?, repeat, count}.
import { connect } from 'node:net';
import { nowUs, percentile, say } from './lib.mjs';

const options = JSON.parse(process.argv[2]);
const url = new URL(options.url);
const lines = [
  `GET ${url.pathname} HTTP/1.1`,
  `Host: ${url.host}`,
  ...(options.auth ? [`Authorization: ${options.auth}`] : []),
  ...(options.repeat ? ['Last-Event-ID: 0'] : []),
];
const request = `${lines.join('\r\n')}\r\n\r\n`;
const STAMP = Buffer.from('"benchTs":');
const NUMBER = Buffer.from('"benchN":');
const END = Buffer.from('\n\n');
const CHUNK_END = Buffer.from('\r\n');

/** Calls `onFrame(bytes, at)` for each frame with data, `onHead` once. Returns the socket. */
function subscribe(onHead, onFrame, onEnd) {
  const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true }, () =>
    socket.write(request),
  );
  let raw = Buffer.alloc(0);
  let body = Buffer.alloc(0);
  let inHead = true;
  socket.on('data', (bytes) => {
    const at = nowUs();
    raw = raw.length ? Buffer.concat([raw, bytes]) : bytes;
    if (inHead) {
      const end = raw.indexOf('\r\n\r\n');
      if (end === -1) return;
      if (!raw.toString('latin1', 0, end).startsWith('HTTP/1.1 200'))
        throw new Error(raw.toString('latin1', 0, end));
      raw = raw.subarray(end + 4);
      inHead = false;
      onHead();
    }
    let offset = 0;
    for (;;) {
      const end = raw.indexOf(CHUNK_END, offset);
      if (end === -1) break;
      const size = parseInt(raw.toString('latin1', offset, end), 16);
      if (raw.length < end + 2 + size + 2) break;
      body = body.length
        ? Buffer.concat([body, raw.subarray(end + 2, end + 2 + size)])
        : raw.subarray(end + 2, end + 2 + size);
      offset = end + 2 + size + 2;
    }
    raw = raw.subarray(offset);
    let from = 0;
    for (let to = body.indexOf(END); to !== -1; to = body.indexOf(END, from)) {
      if (body[from] !== 58) onFrame(body.subarray(from, to), at);
      from = to + 2;
    }
    body = body.subarray(from);
  });
  socket.on('error', onEnd);
  socket.on('close', onEnd);
  return socket;
}

function numberAfter(frame, mark) {
  let at = frame.indexOf(mark) + mark.length;
  let value = 0;
  while (frame[at] === 32) at++;
  for (; frame[at] >= 48 && frame[at] <= 57; at++) value = value * 10 + frame[at] - 48;
  return value;
}

async function replays() {
  const times = [];
  for (let i = 0; i < options.repeat; i++) {
    const start = nowUs();
    await new Promise((resolve, reject) => {
      let count = 0;
      const socket = subscribe(
        () => {},
        (_frame, at) => {
          if (++count < options.count) return;
          times.push((at - start) / 1000);
          socket.destroy();
          resolve();
        },
        () => reject(new Error(`ended after ${count} events`)),
      );
    });
  }
  say({ replay: true, p50: percentile(times, 50), max: Math.max(...times) });
}

function live() {
  const { subscribers, skip, count } = options;
  const latencies = [];
  let heads = 0;
  let warm = 0;
  let done = 0;
  let wrong = 0;
  let first = Infinity;
  for (let i = 0; i < subscribers; i++) {
    let seen = 0;
    const socket = subscribe(
      () => ++heads === subscribers && say({ connected: heads }),
      (frame, at) => {
        const stamp = numberAfter(frame, STAMP);
        if (numberAfter(frame, NUMBER) !== seen) wrong++;
        if (++seen > skip) {
          first = Math.min(first, stamp);
          latencies.push(at - stamp);
        } else if (seen === skip && ++warm === subscribers) say({ warm });
        if (seen < skip + count) return;
        socket.destroy();
        if (++done < subscribers) return;
        const wall = (at - first) / 1e6;
        const [p50, p99] = [percentile(latencies, 50) / 1000, percentile(latencies, 99) / 1000];
        say({ done: true, deliveries: subscribers * count, wrong, wall, p50, p99 });
        process.exit(0);
      },
      () => seen < skip + count && process.exit(1),
    );
  }
}

if (options.repeat) await replays();
else live();
