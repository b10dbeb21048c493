import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { extract, pack, type Header } from 'tar-stream';
import { reasonOf, TaskError } from '../errors.js';

export { fingerprint, isValidAuth, refreshedAt } from './auth-shape.js';

/** The files of a seed that codex starts with. */
export interface SeedMembers {
  authJson: Buffer | null;
  configToml: Buffer | null;
}

const AUTH_MEMBER = '.codex/auth.json';
const CONFIG_MEMBER = '.codex/config.toml';

/** Largest unpacked archive in bytes; a seed is a few kilobytes, more would be an attack or a mistake. */
export const MAX_SEED_BYTES = 16 * 1024 * 1024;

/** A tar.gz, relative to codex's home, as the Python package makes it; what is null is left out. */
export async function packSeed(members: Partial<SeedMembers>): Promise<Buffer> {
  const entries: Entry[] = [];
  if (members.authJson) entries.push(fileEntry(AUTH_MEMBER, members.authJson));
  if (members.configToml) entries.push(fileEntry(CONFIG_MEMBER, members.configToml));
  return writeEntries(entries);
}

/** Reads the two known members; others are ignored. @throws TaskError `BadInput` for anything but a seed archive */
export async function unpackSeed(archive: Buffer): Promise<SeedMembers> {
  const entries = await readEntries(archive);
  // As tar does when it extracts: the last of several wins.
  const last = (name: string) =>
    entries.findLast(({ header }) => header.type === 'file' && plainName(header) === name)?.body ?? null;
  return { authJson: last(AUTH_MEMBER), configToml: last(CONFIG_MEMBER) };
}

/**
 * The same archive with another auth.json; every other member stays as it is.
 * @throws TaskError `BadInput` for anything but a seed archive
 */
export async function replaceAuth(archive: Buffer, authJson: Buffer): Promise<Buffer> {
  const others = (await readEntries(archive)).filter(({ header }) => plainName(header) !== AUTH_MEMBER);
  return writeEntries([...others, fileEntry(AUTH_MEMBER, authJson)]);
}

interface Entry {
  header: Partial<Header> & Pick<Header, 'name'>;
  body: Buffer;
}

const fileEntry = (name: string, body: Buffer): Entry => ({
  header: { name, type: 'file', mode: 0o600, mtime: new Date(0) },
  body,
});

const plainName = (header: { name: string }): string => header.name.replace(/^(\.\/)+/, '');

async function readEntries(archive: Buffer): Promise<Entry[]> {
  try {
    const reader = extract();
    reader.end(await promisify(gunzip)(archive, { maxOutputLength: MAX_SEED_BYTES }));
    const entries: Entry[] = [];
    for await (const entry of reader) {
      entries.push({ header: entry.header, body: await collect(entry as AsyncIterable<Buffer>) });
    }
    return entries;
  } catch (error) {
    throw new TaskError('BadInput', `Not a seed archive (tar.gz): ${reasonOf(error)}`, { cause: error });
  }
}

async function writeEntries(entries: Entry[]): Promise<Buffer> {
  const writer = pack();
  for (const { header, body } of entries) {
    // Folders and links have no body, and the packer refuses even an empty one.
    if (header.type === 'file' || header.type === 'contiguous-file') writer.entry({ ...header }, body);
    else writer.entry({ ...header });
  }
  writer.finalize();
  return promisify(gzip)(await collect(writer as AsyncIterable<Buffer>));
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
