import { expect, test } from 'vitest';
import { namesForCommandsOnly, childEnvironment, secretsOf } from '../../src/codex/child-environment.js';

const folders = { home: '/t/home', codexHome: '/t/home/.codex' };
const OWN = {
  HOME: '/t/home',
  CODEX_HOME: '/t/home/.codex',
  GIT_DIR: '/dev/null',
  XDG_CONFIG_HOME: '/t/home/.config',
  XDG_DATA_HOME: '/t/home/.local/share',
  XDG_STATE_HOME: '/t/home/.local/state',
  XDG_CACHE_HOME: '/t/home/.cache',
};

test('codex gets only the listed variables of the worker, and folders of its own', () => {
  const let_through = {
    PATH: '/bin',
    LANG: 'C',
    LC_ALL: 'C',
    LC_TIME: 'C',
    TERM: 'dumb',
    TZ: 'UTC',
    HTTP_PROXY: 'p',
    https_proxy: 'p',
    all_proxy: 'p',
    NO_PROXY: 'n',
    SSL_CERT_FILE: 'f',
    SSL_CERT_DIR: 'd',
    CODEX_CA_CERTIFICATE: 'c',
    CODEX_REFRESH_TOKEN_URL_OVERRIDE: 'u',
    RUST_LOG: 'warn',
  };
  const held_back = {
    HOME: '/root',
    CODEX_HOME: '/elsewhere/.codex',
    XDG_RUNTIME_DIR: '/run/user/0',
    USER: 'root',
    OPENAI_API_KEY: 'k',
    MONGODB_URI: 'm',
    CODEX_TASK_SEED_KEY: 's',
    NODE_OPTIONS: '--inspect',
    LD_PRELOAD: 'x',
  };
  expect(childEnvironment({ workerEnv: { ...let_through, ...held_back }, ...folders })).toEqual({
    ...let_through,
    NO_PROXY: 'n,localhost,127.0.0.1,::1',
    no_proxy: 'n,localhost,127.0.0.1,::1',
    ...OWN,
  });
});

test.each([
  [{ HTTP_PROXY: 'p' }, {}, 'localhost,127.0.0.1,::1'],
  [{ https_proxy: 'p', no_proxy: 'a.example, b.example' }, {}, 'a.example,b.example,localhost,127.0.0.1,::1'],
  [{ ALL_PROXY: 'p', NO_PROXY: 'a', no_proxy: 'b,localhost' }, {}, 'a,b,localhost,127.0.0.1,::1'],
  [{ HTTP_PROXY: 'p', NO_PROXY: 'worker' }, { NO_PROXY: 'task' }, 'task,localhost,127.0.0.1,::1'],
  [{}, { http_proxy: 'p' }, 'localhost,127.0.0.1,::1'],
])('Codex behind a proxy reaches loopback directly and keeps exceptions: %j %j', (workerEnv, env, list) => {
  expect(childEnvironment({ workerEnv, ...folders, env })).toMatchObject({
    NO_PROXY: list,
    no_proxy: list,
  });
});

test('codex without a proxy gets no exceptions from one', () => {
  expect(childEnvironment({ workerEnv: { PATH: '/bin' }, ...folders })).toEqual({ PATH: '/bin', ...OWN });
});

test('passEnv lets names through, env overrides them, and unset names are left out', () => {
  const workerEnv = { PATH: '/bin', GH_TOKEN: 'worker', BOTH: 'worker' };
  const env = { BOTH: 'task', PATH: '/task/bin' };
  expect(childEnvironment({ workerEnv, ...folders, passEnv: ['GH_TOKEN', 'BOTH', 'MISSING'], env })).toEqual({
    PATH: '/task/bin',
    GH_TOKEN: 'worker',
    BOTH: 'task',
    ...OWN,
  });
});

test('an API key travels under one name, and a missing key is bad input', () => {
  const workerEnv = { MODEL_KEY: 'k' };
  expect(childEnvironment({ workerEnv, ...folders, apiKeyEnv: 'MODEL_KEY' })).toEqual({
    CODEX_TASK_API_KEY: 'k',
    ...OWN,
  });
  expect(() => childEnvironment({ workerEnv, ...folders, apiKeyEnv: 'OTHER_KEY' })).toThrow(
    expect.objectContaining({
      code: 'BadInput',
      message: "credential.apiKeyEnv: OTHER_KEY is not set in the worker's environment",
    }) as Error,
  );
});

test.each([
  [{ env: { CODEX_HOME: '/x' } }, 'env.CODEX_HOME: CODEX_HOME is set by the worker'],
  [{ passEnv: ['A', 'HOME'] }, 'passEnv[1]: HOME is set by the worker'],
  [{ passEnv: ['MONGODB_URI'] }, "passEnv[0]: MONGODB_URI is the worker's own"],
  [{ apiKeyEnv: 'CODEX_TASK_SEED_KEY' }, "credential.apiKeyEnv: CODEX_TASK_SEED_KEY is the worker's own"],
  [{ passEnv: ['A=B'] }, 'passEnv[0]: expected the name of a variable, got "A=B"'],
  [{ env: { '': 'x' } }, 'env.: expected the name of a variable, got ""'],
  [{ env: { A: 'nul \0' } }, 'env.A: expected a string without NUL, got string'],
])('%o is bad input', (input, message) => {
  const workerEnv = { MONGODB_URI: 'm', CODEX_TASK_SEED_KEY: 's' };
  expect(() => childEnvironment({ workerEnv, ...folders, ...input })).toThrow(
    expect.objectContaining({ code: 'BadInput', message }) as Error,
  );
});

test('a task cannot set the variables that tell where codex’s tokens go', () => {
  const workerEnv = { SSL_CERT_FILE: '/etc/ca.pem', CODEX_CA_CERTIFICATE: '/etc/own.pem' };
  const env = {
    SSL_CERT_FILE: '/task/ca.pem',
    SSL_CERT_DIR: '/task',
    CODEX_CA_CERTIFICATE: '/task/ca.pem',
    CODEX_REFRESH_TOKEN_URL_OVERRIDE: 'http://a.example',
    OWN: 'x',
  };
  const environment = childEnvironment({ workerEnv, ...folders, env });
  expect(environment).toMatchObject({ ...workerEnv, OWN: 'x' });
  expect(environment).not.toHaveProperty('SSL_CERT_DIR');
  expect(environment).not.toHaveProperty('CODEX_REFRESH_TOKEN_URL_OVERRIDE');
  expect(namesForCommandsOnly({ OWN: 'x' })).toEqual([]);
});

test('a login in a proxy’s URL is a secret; a proxy without one is none', () => {
  const workerEnv = {
    HTTP_PROXY: 'http://user:hunter2@p.example',
    all_proxy: 'http://p.example',
    PATH: '/bin',
  };
  const environment = childEnvironment({ workerEnv, ...folders });
  expect(secretsOf(environment)).toEqual(['http://user:hunter2@p.example', 'user:hunter2']);
});
