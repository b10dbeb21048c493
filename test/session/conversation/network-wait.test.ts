import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { longWait, watchNetwork } from '../../../src/session/conversation/network-wait.js';

const RETRY = { threadId: 'a', willRetry: true, error: { message: 'Reconnecting... waiting for network' } };

describe('a turn without network', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function watch() {
    const said = vi.fn();
    return { said, ...watchNetwork(said, 1_000) };
  }

  test('is reported once after a wait, however often Codex retries', () => {
    const { said, seen } = watch();
    for (let tries = 0; tries < 30; tries++) {
      seen('error', RETRY);
      expect(said).toHaveBeenCalledTimes(tries < 10 ? 0 : 1);
      vi.advanceTimersByTime(100);
    }
  });

  test.each([
    ['item/agentMessage/delta', { threadId: 'a' }],
    ['turn/completed', { threadId: 'a' }],
    ['error', { threadId: 'a', willRetry: false }],
  ])('ends with %s of its thread', (method, params) => {
    const { said, seen } = watch();
    seen('error', RETRY);
    seen('item/started', { threadId: 'of a sub-agent' });
    seen('thread/tokenUsage/updated', { threadId: 'a' });
    vi.advanceTimersByTime(900);
    seen(method, params);
    vi.advanceTimersByTime(900);
    expect(said).not.toHaveBeenCalled();
  });

  test('is not reported once the session has ended', () => {
    const { said, seen, stop } = watch();
    seen('error', RETRY);
    stop();
    vi.advanceTimersByTime(2_000);
    expect(said).not.toHaveBeenCalled();
  });

  test.each([[null], [{}], [{ threadId: 1, willRetry: true }]])('is not inferred from %j', (params) => {
    const { said, seen } = watch();
    seen('error', params);
    vi.advanceTimersByTime(2_000);
    expect(said).not.toHaveBeenCalled();
  });
});

describe('the report of it', () => {
  const env = { HTTPS_PROXY: 'http://user:hunter2@proxy.example:3128', NO_PROXY: 'x' };

  test('names the provider, its host and the proxy, without a login', () => {
    const text = longWait('acme', 'https://key:hunter2@llm.example/v1', env);
    expect(text).toMatch(
      /provider acme at llm\.example; .*NO_PROXY.*proxy of HTTPS_PROXY \(proxy\.example:3128\)/,
    );
    expect(text).not.toContain('hunter2');
  });

  test.each([
    ['https://llm.example', {}],
    ['http://127.0.0.1:1/v1', { HTTP_PROXY: 'http://proxy.example' }],
    ['http://[::1]:1/v1', { ALL_PROXY: 'http://proxy.example' }],
    ['http://llm.example', env],
  ])('names no proxy for %s with %j', (url, variables) => {
    expect(longWait('acme', url, variables)).toContain('; no proxy is in between.');
  });

  test('leaves out a host that only Codex knows', () => {
    expect(longWait('openai', null, { all_proxy: 'socks5://proxy.example:1' })).toMatch(
      /provider openai; .*proxy of all_proxy \(proxy\.example:1\)/,
    );
  });
});
