/** What a tar archive says of one member. */
export interface TarMember {
  readonly name: string;
  readonly type: 'file' | 'folder' | 'symlink' | 'hardlink';
  /** Bytes of content that follow; 0 but for a file. */
  readonly size: bigint;
  readonly mode: number;
  readonly mtimeNs: bigint;
  readonly linkname?: string;
}

const TYPES = { file: '0', hardlink: '1', symlink: '2', folder: '5' } as const;
const RECORD = 512;
const MAX_OCTAL = 8n ** 11n;
const SECOND = 1_000_000_000n;

/**
 * The header of a member in the POSIX format (pax interchange, POSIX.1-2008 `pax`): 512 bytes, before them an
 * extended header where a name, a link or a time does not fit. Written here because the tar library's way
 * through a stream for each member costs more than reading and compressing a small file.
 */
export function tarHeader(member: TarMember): Buffer {
  const { name, linkname = '', mtimeNs, type } = member;
  const full = type === 'folder' ? `${name}/` : name;
  const records: Record<string, string> = {};
  const place = splitName(full);
  if (!place) records['path'] = full;
  if (Buffer.byteLength(linkname) > 100 || !isPlain(linkname)) records['linkpath'] = linkname;
  if (mtimeNs < 0n || mtimeNs % SECOND !== 0n || mtimeNs / SECOND >= MAX_OCTAL)
    records['mtime'] = decimal(mtimeNs);
  const main: Header = {
    member,
    place: place ?? ['', cut(full)],
    linkname: cut(linkname),
    type: TYPES[type],
  };
  const text = Object.entries(records).map(paxRecord).join('');
  if (text === '') return ustar(Buffer.allocUnsafe(RECORD).fill(0), 0, main);
  const length = Buffer.byteLength(text);
  const after = RECORD + Math.ceil(length / RECORD) * RECORD;
  // One piece from the pool, which `alloc` does not use: there is one of these for each file.
  const bytes = Buffer.allocUnsafe(after + RECORD).fill(0);
  const extension = { size: BigInt(length), mode: 0o644, mtimeNs };
  ustar(bytes, 0, { member: extension, place: ['', 'PaxHeader'], linkname: '', type: 'x' });
  bytes.write(text, RECORD);
  return ustar(bytes, after, main);
}

const ZEROS = Buffer.alloc(RECORD);

/** What fills the last record of a member's content. */
export const padding = (size: bigint): Buffer => ZEROS.subarray(0, Number(-size & 511n));

/** Ends an archive. */
export const END_OF_TAR: Buffer = Buffer.alloc(2 * RECORD);

interface Header {
  readonly member: Pick<TarMember, 'size' | 'mode' | 'mtimeNs'>;
  /** The name's two fields. */
  readonly place: readonly [prefix: string, name: string];
  readonly linkname: string;
  readonly type: string;
}

/** Writes a header over zeros. */
function ustar(bytes: Buffer, at: number, { member, place, linkname, type }: Header): Buffer {
  const { size, mode, mtimeNs } = member;
  const [prefix, name] = place;
  bytes.write(name, at, 'latin1');
  const seconds = mtimeNs / SECOND;
  const inRange = seconds >= 0n && seconds < MAX_OCTAL;
  const time = octal(inRange ? seconds : 0, 11);
  const length = octal(size < MAX_OCTAL ? size : 0, 11);
  bytes.write(
    `${octal(mode & 0o7777, 7)}\0${NOBODY}${length}\0${time}\0        ${type}${linkname}`,
    at + 100,
    'latin1',
  );
  if (size >= MAX_OCTAL) writeLargeSize(bytes, at, size);
  bytes.write('ustar\x0000', at + 257, 'latin1');
  if (prefix !== '') bytes.write(prefix, at + 345, 'latin1');
  let sum = 0;
  for (let i = at; i < at + RECORD; i++) sum += bytes[i]!;
  bytes.write(`${octal(sum, 6)}\0 `, at + 148, 'latin1');
  return bytes;
}

/** User and group 0: what is restored belongs to whoever restores. */
const NOBODY = `${'0'.repeat(7)}\0${'0'.repeat(7)}\0`;

/** Eight gibibytes and more as GNU tar writes them: a number of base 256. */
function writeLargeSize(bytes: Buffer, at: number, size: bigint): void {
  bytes[at + 124] = 0x80;
  bytes.writeBigUInt64BE(size, at + 128);
}

const octal = (value: number | bigint, digits: number): string => value.toString(8).padStart(digits, '0');

const isPlain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text);

/** What readers that know no extended header see. */
const cut = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(-100);

/** The name in the header's two fields, cut at a slash; null when it fits in no way. */
function splitName(name: string): readonly [string, string] | null {
  if (!isPlain(name)) return null;
  if (name.length <= 100) return ['', name];
  const slash = name.indexOf('/', name.length - 101);
  if (slash <= 0 || slash > 155 || slash === name.length - 1) return null;
  return [name.slice(0, slash), name.slice(slash + 1)];
}

function decimal(ns: bigint): string {
  const seconds = ns / SECOND;
  const rest = ns % SECOND;
  const sign = ns < 0n ? '-' : '';
  const abs = (value: bigint) => (value < 0n ? -value : value);
  return `${sign}${abs(seconds)}.${abs(rest).toString().padStart(9, '0')}`;
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord([key, value]: [string, string]): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + 1;
  while (length !== bytes + String(length).length) length = bytes + String(length).length;
  return `${length}${rest}`;
}
