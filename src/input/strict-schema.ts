import * as v from 'valibot';
import { BUDGETS } from '../budgets/budgets.js';
import * as is from './checks.js';
import { isObject } from './clean-json.js';
import { KEYWORDS, LIMITS, TYPES } from './strict-keywords.js';

type Path = readonly (string | number)[];
interface Refused {
  readonly path: Path;
  readonly expected: string;
  readonly value: unknown;
}

/** A JSON Schema that strict mode takes: codex asks the model with it as it is (`strict-keywords.ts`). */
export const outputSchema = v.pipe(
  is.atMostBytes(is.object, BUDGETS.outputSchema),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const { path, expected, value } of firstOf(refusedIn(dataset.value)))
      addIssue({
        input: value,
        message: expected,
        ...(path.length > 0 && { path: is.at(dataset.value, ...path) }),
      });
  }),
);

/** Of very many the first say enough. */
const MOST = 50;

function firstOf(refused: Generator<Refused>): Refused[] {
  const first: Refused[] = [];
  for (const each of refused) if (first.push(each) === MOST) break;
  return first;
}

/** The `pattern`s of a schema with their places. */
export function* patternsIn(value: unknown, path: Path = []): Generator<{ path: Path; pattern: string }> {
  const members = Array.isArray(value) ? [...value.entries()] : isObject(value) ? Object.entries(value) : [];
  for (const [key, member] of members)
    if (key === 'pattern' && typeof member === 'string') yield { path: [...path, key], pattern: member };
    else yield* patternsIn(member, [...path, key]);
}

/** What is counted over the whole schema. */
interface Counts {
  readonly root: Readonly<Record<string, unknown>>;
  properties: number;
  characters: number;
  enumValues: number;
}

function* refusedIn(root: Record<string, unknown>): Generator<Refused> {
  const counts: Counts = { root, properties: 0, characters: 0, enumValues: 0 };
  if (root['type'] !== 'object')
    yield { path: ['type'], expected: '"object" at the top', value: root['type'] };
  if ('anyOf' in root) yield { path: ['anyOf'], expected: 'none at the top', value: root['anyOf'] };
  yield* ofNode(root, [], 1, counts);
  for (const [name, most] of Object.entries(LIMITS.whole))
    if (counts[name as keyof typeof LIMITS.whole] > most.count)
      yield { path: [], expected: `at most ${most.count} ${most.of}`, value: root };
}

function* ofNode(schema: unknown, path: Path, level: number, counts: Counts): Generator<Refused> {
  if (!isObject(schema)) {
    yield { path, expected: 'a schema, which is an object', value: schema };
    return;
  }
  if (level > LIMITS.levels) {
    yield { path, expected: `objects in at most ${LIMITS.levels} levels`, value: schema };
    return;
  }
  const isRoot = path.length === 0;
  const types = typesOf(schema['type']);
  for (const [keyword, value] of Object.entries(schema)) {
    const here = [...path, keyword];
    const rule = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined;
    if (!rule || (rule.of === 'top' && !isRoot)) {
      const expected = rule ? 'it at the top only' : 'no keyword that strict mode lacks';
      yield { path: here, expected, value };
    } else if ('$ref' in schema && !rule.besideRef)
      yield { path: here, expected: 'nothing beside $ref', value };
    else if (rule.of !== 'top' && rule.of !== 'any' && !rule.of.some((type) => types.includes(type)))
      yield { path: here, expected: `it with type ${rule.of.join(' or ')} only`, value };
    else if (!rule.test(value)) yield { path: here, expected: rule.expected, value };
  }
  if ('$ref' in schema) yield* ofReference(schema['$ref'], path, counts);
  else if (!('anyOf' in schema) && !('type' in schema) && !isRoot)
    yield { path: [...path, 'type'], expected: 'a type, $ref or anyOf', value: undefined };
  if (types.includes('object')) yield* ofObject(schema, path, level, counts);
  if (types.includes('array')) yield* ofNode(schema['items'], [...path, 'items'], level, counts);
  yield* ofEnum(schema, path, counts);
  yield* ofMany(schema, path, level, counts);
}

/** Schemas that stand side by side: the alternatives, and what `$ref` names. */
function* ofMany(
  schema: Record<string, unknown>,
  path: Path,
  level: number,
  counts: Counts,
): Generator<Refused> {
  const { anyOf } = schema;
  if (Array.isArray(anyOf))
    for (const [i, each] of anyOf.entries())
      yield* ofNode(each, [...path, 'anyOf', i], deeper(each, level), counts);
  if (path.length > 0) return;
  for (const name of ['$defs', 'definitions'])
    if (isObject(schema[name]))
      for (const [key, each] of Object.entries(schema[name])) {
        counts.characters += key.length;
        yield* ofNode(each, [name, key], 1, counts);
      }
}

function* ofObject(
  schema: Record<string, unknown>,
  path: Path,
  level: number,
  counts: Counts,
): Generator<Refused> {
  const { properties, required, additionalProperties } = schema;
  if (additionalProperties !== false)
    yield {
      path: [...path, 'additionalProperties'],
      expected: 'false on every object',
      value: additionalProperties,
    };
  if (!isObject(properties)) {
    yield { path: [...path, 'properties'], expected: 'properties', value: properties };
    return;
  }
  const names = new Set<unknown>(Object.keys(properties));
  const listed = new Set<unknown>(Array.isArray(required) ? required : []);
  const isWhole = listed.size === names.size && [...names].every((name) => listed.has(name));
  if (!Array.isArray(required) || !isWhole)
    yield {
      path: [...path, 'required'],
      expected: 'the name of every property (give null among the types of one that may be absent)',
      value: required,
    };
  for (const [name, each] of Object.entries(properties)) {
    counts.properties++;
    counts.characters += name.length;
    yield* ofNode(each, [...path, 'properties', name], deeper(each, level), counts);
  }
}

const deeper = (schema: unknown, level: number): number =>
  isObject(schema) && typesOf(schema['type']).includes('object') ? level + 1 : level;

function* ofEnum(schema: Record<string, unknown>, path: Path, counts: Counts): Generator<Refused> {
  const { enum: values, const: value } = schema;
  if (typeof value === 'string') counts.characters += value.length;
  if (!Array.isArray(values)) return;
  const texts = values.filter((each) => typeof each === 'string');
  const characters = texts.reduce((sum, each) => sum + each.length, 0);
  counts.enumValues += values.length;
  counts.characters += characters;
  const { from, characters: most } = LIMITS.longEnum;
  if (texts.length > from && characters > most)
    yield { path: [...path, 'enum'], expected: `at most ${most} characters in over ${from} values`, value };
}

/** `#`, or a definition that is there. */
function* ofReference(ref: unknown, path: Path, { root }: Counts): Generator<Refused> {
  if (ref === '#') return;
  const [, group = '', name = ''] = /^#\/(\$defs|definitions)\/([^/]+)$/.exec(String(ref)) ?? [];
  const defined = root[group];
  if (isObject(defined) && Object.hasOwn(defined, name.replaceAll('~1', '/').replaceAll('~0', '~'))) return;
  yield { path: [...path, '$ref'], expected: '"#" or the place of one of $defs', value: ref };
}

function typesOf(type: unknown): string[] {
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  return TYPES.filter((each) => types.includes(each));
}
