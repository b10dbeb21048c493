import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { connectTemporal, readSettings } from '../../src/client/connect-temporal.js';

describe('connectTemporal', () => {
  it('says where nothing answers, and what to do', async () => {
    // A server that takes connections and never says a word.
    const server = createServer((socket) => void socket.on('error', () => undefined));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      await expect(connectTemporal({ TEMPORAL_ADDRESS: address }, { timeoutMs: 200 })).rejects.toMatchObject({
        code: 'Unavailable',
        message: `Temporal not reachable at ${address}: start it or set TEMPORAL_ADDRESS (codex-task dev starts one)`,
      });
    } finally {
      server.close();
    }
  });

  it('reads the settings of the environment given, and of no other', () => {
    expect(readSettings({ TEMPORAL_ADDRESS: 'a:1', TEMPORAL_NAMESPACE: 'n', TEMPORAL_API_KEY: 'k' })).toEqual(
      {
        connectionOptions: { address: 'a:1', apiKey: 'k', tls: true },
        namespace: 'n',
      },
    );
    expect(() => readSettings({ TEMPORAL_PROFILE: 'missing' })).toThrow(/^Wrong Temporal settings: /);
  });
});
