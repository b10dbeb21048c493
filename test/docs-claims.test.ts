import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXIT } from '../src/cli/exit-codes.js';
import { readConfig } from '../src/config.js';
import { NOTIFICATIONS, REQUESTS } from '../src/input/events/codex.js';
import { SEARCH_ATTRIBUTES } from '../src/temporal/search-attributes.js';
import {
  all,
  allDocuments,
  documents,
  filesBelow,
  part,
  read,
  sourceFiles,
  unique,
} from './support/documents.js';

const code = sourceFiles.map(read).join('\n');
const serverCode = sourceFiles
  .filter((name) => name.startsWith('src/listener/'))
  .map(read)
  .join('\n');
const listener = read('docs/listener.md');
const settings = read('docs/settings.md');

describe('the documents name only existing', () => {
  test('settings, with their defaults, in docs/settings.md and elsewhere', () => {
    const table = part(settings, 'The worker reads these', '`dev` and `demo` keep');
    const config = unique([
      ...all(/'(CODEX_TASK_[A-Z_]+|MONGODB_URI)'/g, read('src/config.ts')),
      'CODEX_TASK_CODEX_BIN',
      'CODEX_TASK_PAYLOAD_KEY',
    ]);
    expect(all(/`(CODEX_TASK_[A-Z_]+|MONGODB_URI)`/g, table)).toEqual(config);
    const others = [allDocuments, read('.env.example'), read('docker-compose.yml'), read('Dockerfile')].join(
      '\n',
    );
    const named = all(/\b(CODEX_TASK_[A-Z_]*[A-Z])\b/g, others);
    expect(named.filter((name) => !config.includes(name))).toEqual([]);

    const { listen, ...defaults } = readConfig({ HOME: '/home/x' });
    const inTable = (name: string) => {
      const row = table.split('\n').find((line) => line.split('|')[1]?.includes(`\`${name}\``)) ?? '';
      const names = all(/`([A-Z_]+)`/g, row.split('|')[1] ?? '');
      const values = [...(row.split('|')[2] ?? '').matchAll(/`([^`]+)`/g)].map(([, value]) => value);
      return values[names.indexOf(name)];
    };
    expect(inTable('CODEX_TASK_LISTEN')).toBe(`${listen.host}:${listen.port}`);
    expect({
      mongodbUri: inTable('MONGODB_URI'),
      mongoPrefix: inTable('CODEX_TASK_MONGO_PREFIX'),
      taskQueue: inTable('CODEX_TASK_QUEUE'),
      keepEndedMs: Number(inTable('CODEX_TASK_KEEP_ENDED')),
      leaseTtlMs: Number(inTable('CODEX_TASK_LEASE_TTL')),
      logLevel: inTable('CODEX_TASK_LOG'),
      drain: inTable('CODEX_TASK_DRAIN'),
      drainWaitMs: Number(inTable('CODEX_TASK_DRAIN_WAIT')),
      minFreeBytes: Number(inTable('CODEX_TASK_MIN_FREE_BYTES')),
    }).toEqual({
      mongodbUri: defaults.mongodbUri,
      mongoPrefix: defaults.mongoPrefix,
      taskQueue: defaults.taskQueue,
      keepEndedMs: defaults.keepEndedMs,
      leaseTtlMs: defaults.leaseTtlMs,
      logLevel: defaults.logLevel,
      drain: defaults.drain,
      drainWaitMs: defaults.drainWaitMs,
      minFreeBytes: defaults.minFreeBytes,
    });
  });

  test('metrics', () => {
    const made = all(/metric\(\s*'(\w+)'/g, read('src/listener/metrics.ts'));
    expect(all(/`(codex_task_\w+)`/g, part(listener, '### `GET /health`', '###'))).toEqual(made);
    expect(all(/`(codex_task_\w+)`/g, allDocuments).filter((name) => !made.includes(name))).toEqual([]);
  });

  test('status codes of the listener, with their reasons', () => {
    const [, table = ''] = listener.split('## Status codes\n');
    const said = table
      .split('\n')
      .filter((line) => /^\| .*\b[2-5]\d\d\b/.test(line))
      .flatMap((line) => {
        const [, , status = '', reasons = ''] = line.split('|');
        return all(/`([\w-]+)`/g, reasons).map((reason) => `${status.trim()} ${reason}`);
      });
    const faults = part(serverCode, 'FAULT_STATUS = {', '}');
    const given = [
      ...[...serverCode.matchAll(/new Refusal\((\d+), '([\w-]+)'/g)].map(
        ([, status, reason]) => `${status} ${reason}`,
      ),
      ...all(
        /unavailable\('([\w-]+)'\)/g,
        serverCode.replace(/\? unavailable\('([\w-]+)'\)/g, "unavailable('$1')"),
      ).map((reason) => `503 ${reason}`),
      ...[...faults.matchAll(/'?([\w-]+)'?: (\d+)/g)].map(([, reason, status]) => `${status} ${reason}`),
      ...all(/'(starting|draining|stopping)'/g, read('src/worker/open-host.ts')).map(
        (reason) => `503 ${reason}`,
      ),
      // What koa-body refuses.
      '415 bad-request',
    ];
    expect(unique(said)).toEqual(unique(given));
  });

  test('events', () => {
    const events = read('src/contract/events.ts');
    const named = unique([
      ...all(/`(x-optio-[\w-]+)[` ]/g, part(listener, '| Ours ', '## Status codes')),
      ...all(/`(x-optio-[\w-]+)[` ]/g, read('docs/hooks.md')),
    ]);
    expect(named).toEqual(all(/type: '(x-optio-[\w-]+)'/g, events));
    const known = all(/'(x-optio-[\w-]+)'/g, events);
    expect(all(/(x-optio-[a-z-]*[a-z])\b/g, allDocuments).filter((name) => !known.includes(name))).toEqual(
      [],
    );
    expect(Object.keys(NOTIFICATIONS).sort()).toEqual(
      all(/`([\w/]+)`/g, part(listener, '| Notifications ', '| Ours ').replace(/\|[^|]*\|$/gm, '')).sort(),
    );
    expect(Object.keys(REQUESTS).sort()).toEqual(
      all(/^\| `([\w/]+)`/gm, part(listener, '| Requests ', '| Notifications ')),
    );
  });

  test('fields of our own events', () => {
    const given = new Map(
      [...read('src/contract/events.ts').matchAll(/\{\s*type: '(x-optio-[\w-]+)'([^{}]*)\}/g)].map(
        ([, type = '', fields = '']) => [type, all(/(\w+)\??:/g, fields)],
      ),
    );
    expect(given.size).toBeGreaterThan(20);
    const rows = part(listener, '| Ours ', '\n\n').split('\n').slice(2);
    for (const row of rows) {
      const [, types = '', fields = ''] = row.split('|');
      const told = all(/`(\w+)`/g, fields);
      expect(unique(all(/`([\w-]+)`/g, types).flatMap((type) => given.get(type) ?? ['none'])), row).toEqual(
        told,
      );
    }
    for (const [, type = '', fields = ''] of read('docs/hooks.md').matchAll(
      /`(x-optio-[\w-]+) \{([^}]+)\}`/g,
    ))
      expect(
        given.get(type)?.filter((name) => name !== 'line' && name !== 'truncated'),
        type,
      ).toEqual(fields.split(', ').sort());
  });

  test('search attributes, wherever they are listed', () => {
    for (const name of ['docs/settings.md', 'docker-compose.yml', 'docs/codec.md'])
      for (const attribute of SEARCH_ATTRIBUTES) expect(read(name), name).toContain(attribute);
  });

  test('collections, each with its fate in a purge', () => {
    const made = all(/\$\{(?:store\.)?prefix\}(_codex_[a-z_]+)`/g, code);
    const named = all(/(?:prefix[>}])(_codex_[a-z_]+)/g, allDocuments);
    expect(named.filter((name) => !made.includes(name))).toEqual([]);
    expect(all(/\{prefix\}(_codex_[a-z_]+)`/g, read('docs/purge.md'))).toEqual(made);
  });

  test('files of the sources and tests', () => {
    const known = new Set([
      ...sourceFiles,
      ...filesBelow('test'),
      ...filesBelow('docs'),
      ...filesBelow('deploy'),
    ]);
    const missing = documents.flatMap(({ name, text }) =>
      all(/[`(]((?:[\w.-]+\/)*[\w-]+(?:\.[\w-]+)*\.(?:ts|py|service))[`:)]/g, text)
        .map((path) => path.replace(/^(\.\.\/)+/, ''))
        .filter((path) => ![...known].some((file) => file === path || file.endsWith(`/${path}`)))
        .map((path) => `${name}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  test('failures and types', () => {
    const names = all(/`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`/g, allDocuments);
    const unknown = names.filter((name) => !new RegExp(`\\b${name}\\b`).test(code));
    // Of browsers, Kubernetes and the Python package.
    expect(unknown).toEqual(['EventSource', 'ReadWriteOnce', 'SeedProvider', 'StatefulSet']);
  });

  test('exit codes, in docs/settings.md and in the help', () => {
    const codes = Object.values(EXIT).map(String);
    const [, line = ''] = /\*\*Exit codes\*\*([\s\S]*?)interrupted/.exec(settings) ?? [];
    expect([...line.matchAll(/(?:^|·|:) *\n?(\d+)\s/g)].map(([, each]) => each).sort()).toEqual(
      [...codes].sort(),
    );
    const [, help = ''] = read('src/cli/program.ts').split('const exitCodes');
    expect(all(/EXIT\.(\w+)/g, help)).toEqual(Object.keys(EXIT).sort());
  });

  test('links between the documents', () => {
    const more = ['CHANGELOG.md', 'CONTRIBUTING.md'].map((name) => ({ name, text: read(name) }));
    const broken = [...documents, ...more].flatMap(({ name, text }) =>
      [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(
        ([link, path = '', anchor]) => {
          const target = path === '' ? name : join(name, '..', path);
          try {
            const found = read(target);
            return anchor === undefined || headingsOf(found).includes(anchor) ? [] : [`${name}: ${link}`];
          } catch {
            return [`${name}: ${link}`];
          }
        },
      ),
    );
    expect(broken).toEqual([]);
  });
});

/** Headings as GitHub makes anchors of them. */
const headingsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
