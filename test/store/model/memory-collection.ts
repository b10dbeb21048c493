import { MongoServerError, ObjectId, type Document, type WithId } from 'mongodb';

/** The few operations that the credential store uses, in memory: each one is a step that nothing interrupts. */
export class MemoryCollection {
  readonly documents: WithId<Document>[] = [];

  /** As a secondary has it that is one change behind. */
  private behind: WithId<Document>[] = [];

  /** @param changed is told of each change how it is taken back */
  constructor(
    private readonly changed: (undo: () => void) => void = () => undefined,
    private readonly hasSecondary = false,
  ) {}

  /** What this document, or that there is none of this id, is to be again. */
  private note(_id: ObjectId): void {
    if (this.hasSecondary) this.behind = structuredCopy(this.documents);
    const [before] = structuredCopy(this.documents.filter((each) => each._id.equals(_id)));
    this.changed(() => {
      const at = this.documents.findIndex((each) => each._id.equals(_id));
      if (at !== -1) this.documents.splice(at, 1);
      if (before) this.documents.push(before);
    });
  }

  find(filter: Document = {}, sort: Record<string, 1 | -1> = {}, onSecondary = false): Document[] {
    const found = (onSecondary ? this.behind : this.documents).filter((each) => matches(each, filter));
    return structuredCopy(found.sort((a, b) => compare(a, b, sort)));
  }

  insert(document: WithId<Document>): void {
    this.requireUnique(document);
    this.note(document._id);
    this.documents.push(...structuredCopy([document]));
  }

  /** The document after the update; null: none matched. */
  update(filter: Document, update: Document, sort: Record<string, 1 | -1> = {}): Document | null {
    const [first] = this.documents
      .filter((each) => matches(each, filter))
      .sort((a, b) => compare(a, b, sort));
    if (!first) return null;
    if ('$set' in update) this.requireUnique({ ...(update['$set'] as Document), _id: first._id });
    this.note(first._id);
    for (const [path, value] of Object.entries((update['$set'] ?? {}) as Document)) put(first, path, value);
    for (const path of Object.keys((update['$unset'] ?? {}) as Document)) drop(first, path);
    for (const [path, by] of Object.entries((update['$inc'] ?? {}) as Record<string, number>))
      put(first, path, ((get(first, path) as number | undefined) ?? 0) + by);
    return structuredCopy([first])[0] ?? null;
  }

  remove(filter: Document): Document | null {
    const at = this.documents.findIndex((each) => matches(each, filter));
    if (at === -1) return null;
    this.note(this.documents[at]!._id);
    return this.documents.splice(at, 1)[0] ?? null;
  }

  /** As the one unique index there is: no two seeds have the same login. */
  private requireUnique({ _id, login }: Document): void {
    if (login === undefined) return;
    const other = this.documents.find((each) => each['login'] === login && !each._id.equals(_id as ObjectId));
    if (other) throw new MongoServerError({ code: 11_000, message: 'E11000 duplicate key' });
  }
}

const matches = (document: Document, filter: Document): boolean =>
  Object.entries(filter).every(([path, wanted]) =>
    path === '$or'
      ? (wanted as Document[]).some((each) => matches(document, each))
      : holds(get(document, path), wanted),
  );

function holds(value: unknown, wanted: unknown): boolean {
  if (wanted === null || typeof wanted !== 'object' || wanted instanceof Date || wanted instanceof ObjectId)
    return equals(value, wanted);
  return Object.entries(wanted as Document).every(([operator, operand]) => {
    switch (operator) {
      case '$ne':
        return !equals(value, operand);
      case '$not':
        return !holds(value, operand);
      case '$gt':
        return value instanceof Date && operand instanceof Date && value > operand;
      case '$lt':
        return value instanceof Date && operand instanceof Date && value < operand;
      case '$lte':
        return value instanceof Date && operand instanceof Date && value <= operand;
      case '$in':
        return (operand as unknown[]).some((each) => equals(value, each));
      default:
        throw new Error(`the memory collection does not know ${operator}`);
    }
  });
}

/** An array equals what one of its members is. */
const equals = (value: unknown, wanted: unknown): boolean =>
  Array.isArray(value) ? value.some((each) => same(each, wanted)) : same(value, wanted);

const same = (a: unknown, b: unknown): boolean => comparable(a ?? null) === comparable(b ?? null);

function comparable(value: unknown): unknown {
  if (value instanceof ObjectId) return value.toHexString();
  return value instanceof Date ? value.getTime() : value;
}

function compare(a: Document, b: Document, sort: Record<string, 1 | -1>): number {
  for (const [path, direction] of Object.entries(sort)) {
    const [left, right] = [comparable(get(a, path)) ?? '', comparable(get(b, path)) ?? ''] as [
      string,
      string,
    ];
    if (left !== right) return (left < right ? -1 : 1) * direction;
  }
  return 0;
}

const get = (document: Document, path: string): unknown =>
  path.split('.').reduce<unknown>((at, key) => (at as Document | null | undefined)?.[key], document);

function drop(document: Document, path: string): void {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce<Document | undefined>((at, key) => at?.[key] as Document | undefined, document);
  if (parent) delete parent[last];
}

function put(document: Document, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce<Document>((at, key) => (at[key] ??= {}) as Document, document);
  parent[last] = value;
}

/** Copies documents as a wire would; ids and dates never change, so they are shared. */
function structuredCopy<T>(value: T): T {
  if (Array.isArray(value)) return value.map((each: unknown) => structuredCopy(each)) as T;
  if (value === null || typeof value !== 'object' || value instanceof Date || value instanceof ObjectId)
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, structuredCopy(each)])) as T;
}
