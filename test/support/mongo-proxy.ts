import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A way to the database that the test can cut: connections break and new ones are refused, or all of it stands still. */
export interface MongoProxy {
  uri: string;
  cut(): void;
  /** Nothing passes until it is mended; nothing is lost. */
  freeze(): void;
  mend(): void;
}

/** Starts one in front of `uri` (a single server by TCP or unix socket); ends with the test. */
export async function startMongoProxy(uri: string): Promise<MongoProxy> {
  const [, host = '', rest = ''] = /^mongodb:\/\/([^/?]+)(.*)$/.exec(uri) ?? [];
  const [name = '', port] = decodeURIComponent(host).split(/:(?=\d+$)/);
  const open = new Set<Socket>();
  let state: 'open' | 'cut' | 'frozen' = 'open';
  const server = createServer((client) => {
    if (state === 'cut') return void client.destroy();
    const behind = name.startsWith('/')
      ? createConnection(name)
      : createConnection(Number(port ?? 27_017), name);
    for (const [from, to] of [
      [client, behind],
      [behind, client],
    ] as const) {
      open.add(from);
      from.on('data', (bytes) => to.write(bytes));
      if (state === 'frozen') from.pause();
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const breakAll = () => {
    for (const socket of open) socket.destroy();
  };
  onTestFinished(async () => {
    breakAll();
    server.close();
    await once(server, 'close');
  });
  const separator = rest.includes('?') ? '&' : '?';
  return {
    uri: `mongodb://127.0.0.1:${(server.address() as AddressInfo).port}${rest}${separator}directConnection=true`,
    cut() {
      state = 'cut';
      breakAll();
    },
    freeze() {
      state = 'frozen';
      for (const socket of open) socket.pause();
    },
    mend() {
      state = 'open';
      for (const socket of open) socket.resume();
    },
  };
}
