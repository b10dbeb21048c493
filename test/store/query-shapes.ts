import { ObjectId, type CommandStartedEvent, type Db, type Document } from 'mongodb';

/** A question or a change as the server sees it, without its values. */
export interface QueryShape {
  /** Without the prefix of the test. */
  collection: string;
  filter: Document;
  sort: Record<string, 1 | -1> | null;
  /** What tells it from others. */
  text: string;
}

const SKIPPED = /^(?:fs\.chunks|\$cmd.*)$/;

/** The shapes in a command; none of one that asks nothing. */
export function shapesOf(event: Pick<CommandStartedEvent, 'commandName' | 'command'>): QueryShape[] {
  const { commandName: name, command } = event;
  const collection = String(command[name]).replace(/^.*?_(?=codex_)/, '');
  if (SKIPPED.test(collection)) return [];
  const shape = (filter: Document = {}, sort: Record<string, 1 | -1> | null = null): QueryShape => {
    const by = sort ? ` by ${Object.keys(sort).join(', ')}` : '';
    return { collection, filter, sort, text: `${collection}: ${textOf(filter)}${by}` };
  };
  switch (name) {
    case 'find':
      return [shape(command['filter'] as Document, sortOf(command['sort']))];
    case 'findAndModify':
      return [shape(command['query'] as Document, sortOf(command['sort']))];
    case 'count':
    case 'distinct':
      return [shape(command['query'] as Document)];
    case 'aggregate': {
      const [first] = command['pipeline'] as Document[];
      return [shape((first?.['$match'] ?? {}) as Document)];
    }
    case 'update':
      return (command['updates'] as Document[]).map((each) => shape(each['q'] as Document));
    case 'delete':
      return (command['deletes'] as Document[]).map((each) => shape(each['q'] as Document));
    default:
      return [];
  }
}

function sortOf(sort: unknown): Record<string, 1 | -1> | null {
  if (sort instanceof Map) return Object.fromEntries(sort as Map<string, 1 | -1>);
  return sort && Object.keys(sort).length > 0 ? (sort as Record<string, 1 | -1>) : null;
}

function textOf(filter: Document): string {
  const parts = Object.entries(filter).map(([path, value]) => {
    if (path === '$or') return `(${[...new Set((value as Document[]).map(textOf))].sort().join(' or ')})`;
    return `${path}${operatorOf(value)}`;
  });
  return parts.length === 0 ? 'all' : parts.sort().join(', ');
}

function operatorOf(value: unknown): string {
  if (value === null || typeof value !== 'object' || value instanceof Date || value instanceof ObjectId)
    return '';
  const operators = Object.entries(value as Document).flatMap(([name, of]) =>
    name === '$not' ? [`$not${operatorOf(of)}`] : name.startsWith('$') ? [name] : [],
  );
  return operators.length > 0 ? ` ${operators.join(' ')}` : '';
}

/** Whether an index begins with something that the question names, in one of its alternatives at least. */
export function isServed(text: string, { key }: { key: Readonly<Record<string, unknown>> }): boolean {
  const [first] = Object.keys(key);
  const paths = text
    .slice(text.indexOf(': ') + 2)
    .replace(/ by .*$/, '')
    .split(/[(),]| or /)
    .map((part) => part.trim().split(' ')[0]);
  // Its different values alone.
  return paths.includes(first) || paths.join() === 'all';
}

/** By the ids of documents: every collection has that index. */
export const isById = ({ filter }: QueryShape): boolean => {
  const id: unknown = filter['_id'];
  if (id === undefined || id === null) return false;
  return typeof id !== 'object' || id instanceof ObjectId || '$in' in id || '$eq' in id;
};

/** What the server does with a question; null where it does not tell by what it finds. */
export async function scansAll(
  db: Db,
  collection: string,
  { filter, sort }: QueryShape,
): Promise<boolean | null> {
  const { ferretdb } = await db.command({ buildInfo: 1 });
  const { serverInfo, queryPlanner } = await db.command({
    explain: { find: collection, filter, ...(sort && { sort }) },
    verbosity: 'queryPlanner',
  });
  // FerretDB 1 reads whole collections, whatever indexes there are.
  if (ferretdb !== undefined || (serverInfo as Document | undefined)?.['ferretdbVersion'] !== undefined)
    return null;
  return JSON.stringify((queryPlanner as Document)['winningPlan']).includes('COLLSCAN');
}
