import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { connectTemporal, connectionSettings } from '../../src/client/connect-temporal.js';

describe('connectTemporal', () => {
  it('names the address that does not answer, and what to do', async () => {
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

  it('reads settings from the environment given, and from no other', () => {
    expect(
      connectionSettings({ TEMPORAL_ADDRESS: 'a:1', TEMPORAL_NAMESPACE: 'n', TEMPORAL_API_KEY: 'k' }),
    ).toEqual({
      connectionOptions: { address: 'a:1', apiKey: 'k', tls: true },
      namespace: 'n',
    });
    expect(() => connectionSettings({ TEMPORAL_PROFILE: 'missing' })).toThrow(/^Wrong Temporal settings: /);
  });

  describe('with a proxy in the environment', () => {
    afterEach(() => void vi.unstubAllEnvs());

    /** Counts what comes to it. */
    async function startProxy() {
      let asked = 0;
      const server = createServer((socket) => {
        asked++;
        socket.on('error', () => undefined).destroy();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const env = {
        http_proxy: `http://user:hunter2@127.0.0.1:${(server.address() as AddressInfo).port}`,
        https_proxy: '',
        grpc_proxy: '',
        no_proxy: '',
        no_grpc_proxy: '',
      };
      // The gRPC client looks into the process's.
      for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
      onTestFinished(() => void server.close());
      return { env, asked: () => asked };
    }

    it.each(['127.0.0.1:1', 'localhost:1', '[::1]:1'])('reaches %s directly', async (address) => {
      const { env, asked } = await startProxy();
      const failure: unknown = await connectTemporal(
        { ...env, TEMPORAL_ADDRESS: address },
        { timeoutMs: 200 },
      ).catch((error: unknown) => error);
      expect(String(failure)).toMatch(/\(codex-task dev starts one\)$/);
      expect(asked()).toBe(0);
    });

    it('names the proxy, without its login, when a remote server does not answer', async () => {
      const { env, asked } = await startProxy();
      const failure: unknown = await connectTemporal(
        { ...env, TEMPORAL_ADDRESS: 'temporal.invalid:7233' },
        { timeoutMs: 500 },
      ).catch((error: unknown) => error);
      expect(asked()).toBeGreaterThan(0);
      expect(String(failure)).toMatch(
        /the proxy of http_proxy \(127\.0\.0\.1:\d+\): no_proxy=temporal\.invalid/,
      );
      expect(String(failure)).not.toContain('hunter2');
    });
  });
});
