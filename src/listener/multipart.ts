/** One part of a multipart body. Its content is read to the end before the next part comes. */
export interface Part {
  /** `name` and `filename` of its Content-Disposition; null when absent. */
  readonly name: string | null;
  readonly filename: string | null;
  readonly content: AsyncIterable<Buffer>;
}

/** The body is no multipart body, or ends before it should. */
export class MultipartFault extends Error {}

const MAX_HEADER_BYTES = 16 * 1024;
const BREAK = Buffer.from('\r\n');
const HEADERS_END = Buffer.from('\r\n\r\n');

/** The boundary that a Content-Type names; null when it is not multipart/form-data or names none. */
export function boundaryOf(contentType: string): string | null {
  if (!/^multipart\/form-data\s*;/i.test(contentType)) return null;
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType) ?? [];
  return quoted ?? plain ?? null;
}

/** Reads a body part by part, without holding a whole one. @throws MultipartFault */
export async function* readParts(body: AsyncIterable<Buffer>, boundary: string): AsyncGenerator<Part> {
  const reader = new BodyReader(body);
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  try {
    await drain(reader.until(delimiter));
    while (!(await reader.skip(DASHES))) {
      // White space may follow a boundary.
      await drain(reader.until(BREAK, MAX_HEADER_BYTES));
      reader.endOrphan(BREAK);
      const head: Buffer[] = [];
      for await (const piece of reader.until(HEADERS_END, MAX_HEADER_BYTES)) head.push(piece);
      const content = reader.until(delimiter);
      yield { ...dispositionOf(Buffer.concat(head).toString('utf8')), content };
      await drain(content);
    }
  } finally {
    await reader.leave();
  }
}

const DASHES = Buffer.from('--');

class BodyReader {
  private held: Buffer = BREAK;
  private readonly source: AsyncIterator<Buffer, undefined>;

  constructor(body: AsyncIterable<Buffer>) {
    this.source = body[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  }

  endOrphan(bytes: Buffer): void {
    this.held = Buffer.concat([bytes, this.held]);
  }

  /** Passes over `bytes` if they come next; tells whether they did. */
  async skip(bytes: Buffer): Promise<boolean> {
    while (this.held.length < bytes.length) await this.more();
    if (!this.held.subarray(0, bytes.length).equals(bytes)) return false;
    this.held = this.held.subarray(bytes.length);
    return true;
  }

  /** Reads no more; what is left stays where it is. */
  async leave(): Promise<void> {
    await this.source.return?.();
  }

  /** All up to `mark`, which is passed over. */
  async *until(mark: Buffer, maxBytes = Infinity): AsyncGenerator<Buffer> {
    let bytes = 0;
    for (;;) {
      const at = this.held.indexOf(mark);
      const length = at === -1 ? Math.max(0, this.held.length - mark.length + 1) : at;
      bytes += length;
      if (bytes > maxBytes) throw new MultipartFault('a header is too long');
      const piece = this.held.subarray(0, length);
      this.held = this.held.subarray(at === -1 ? length : at + mark.length);
      if (length > 0) yield piece;
      if (at !== -1) return;
      await this.more();
    }
  }

  private async more(): Promise<void> {
    const next = await this.source.next();
    if (next.done) throw new MultipartFault('the body ends before its last boundary');
    this.held = this.held.length === 0 ? next.value : Buffer.concat([this.held, next.value]);
  }
}

function dispositionOf(head: string): Pick<Part, 'name' | 'filename'> {
  const [, value = ''] = /^content-disposition:(.*)$/im.exec(head) ?? [];
  const given = parametersOf(value);
  const [, extended] = /^utf-8''([^;\s]+)$/i.exec(given.get('filename*') ?? '') ?? [];
  return {
    name: given.get('name') ?? null,
    filename: (extended !== undefined ? decoded(extended) : null) ?? given.get('filename') ?? null,
  };
}

/** One after the other: what is quoted holds no parameter. */
const PARAMETER = /\s*;\s*([^=;\s"]+)=(?:"((?:\\"|[^"])*)"|([^\s;"]*))/gy;

/** Browsers leave backslashes alone and write `"` and line breaks in percent form; others escape the quote. */
function parametersOf(disposition: string): Map<string, string> {
  const start = disposition.indexOf(';');
  const given = new Map<string, string>();
  for (const [, key = '', quoted, plain = ''] of start === -1
    ? []
    : disposition.slice(start).matchAll(PARAMETER)) {
    const text = (quoted?.replaceAll('\\"', '"') ?? plain).replace(/%(22|0D|0A)/gi, (_, hex: string) =>
      String.fromCharCode(parseInt(hex, 16)),
    );
    if (!given.has(key.toLowerCase())) given.set(key.toLowerCase(), text);
  }
  return given;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

async function drain(content: AsyncIterable<Buffer>): Promise<void> {
  for await (const piece of content) void piece;
}
