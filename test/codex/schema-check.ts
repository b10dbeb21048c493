import ts from 'typescript';

/** A JSON schema, as far as codex's generator goes. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema | boolean>;
  required?: string[];
  items?: Schema | boolean;
  additionalProperties?: Schema | boolean;
}

export interface Bundle extends Schema {
  definitions: Record<string, Schema> & { v2: Record<string, Schema> };
}

/** `read`: what codex sends must have all we rely on. `sent`: what we send must have all codex requires. */
type Direction = 'read' | 'sent';

/** Checks types of one file against codex's schema; every fault is one line with the path to it. */
export class SchemaCheck {
  readonly faults: string[] = [];
  readonly #checker: ts.TypeChecker;
  readonly #exports: ts.Symbol[];
  readonly #seen = new Set<string>();

  constructor(
    private readonly bundle: Bundle,
    file: string,
  ) {
    const program = ts.createProgram([file], { strict: true, noEmit: true, module: ts.ModuleKind.NodeNext });
    this.#checker = program.getTypeChecker();
    this.#exports = this.#checker.getExportsOfModule(
      this.#checker.getSymbolAtLocation(program.getSourceFile(file)!)!,
    );
  }

  /** The members of one of our method maps: method and type. */
  methods(map: string): { method: string; type: ts.Type }[] {
    const symbol = this.#exports.find(({ name }) => name === map)!;
    return this.#checker
      .getDeclaredTypeOfSymbol(symbol)
      .getProperties()
      .map((each) => ({ method: each.name, type: this.#checker.getTypeOfSymbol(each) }));
  }

  member(type: ts.Type, name: string): ts.Type {
    return this.#checker.getTypeOfSymbol(type.getProperty(name)!);
  }

  /** Name of the definition of a method's parameters; a fault when codex has no such method. */
  paramsOf(
    side: 'ClientRequest' | 'ServerNotification' | 'ServerRequest',
    method: string,
  ): string | undefined {
    const variants = variantsOf(this.bundle.definitions[side]!, this.bundle);
    const found = variants.find(({ properties }) => literals(properties['method']).includes(method));
    if (!found) this.faults.push(`${side} ${method}: no such method`);
    const params = found?.properties['params'];
    return typeof params === 'object' ? firstRef(params) : undefined;
  }

  /** Compares a type of ours with a definition. */
  compareNamed(type: ts.Type, ref: string, direction: Direction): void {
    const name = ref.split('/').at(-1)!;
    if (lookUp(ref, this.bundle)) this.compare(type, { $ref: ref }, direction, name);
    else this.faults.push(`${name}: no such definition`);
  }

  private compare(type: ts.Type, schema: Schema | boolean, direction: Direction, path: string): void {
    const parts = (type.isUnion() ? type.types : [type]).filter((part) => !(part.flags & ABSENT));
    for (const part of parts) this.comparePart(part, schema, direction, path);
  }

  private comparePart(type: ts.Type, schema: Schema | boolean, direction: Direction, path: string): void {
    if (type.flags & ANYTHING || typeof schema === 'boolean') return;
    const variants = variantsOf(schema, this.bundle);
    const has = (jsonType: string) => variants.some(({ types }) => types.includes(jsonType));
    if (type.isStringLiteral()) {
      if (!variants.some((variant) => variant.enum.includes(type.value)))
        this.faults.push(`${path}: no value "${type.value}"`);
    } else if (type.flags & ts.TypeFlags.String) this.expect(has('string'), path, 'a string');
    else if (type.flags & ts.TypeFlags.Number) this.expect(has('integer') || has('number'), path, 'a number');
    else if (type.flags & ts.TypeFlags.BooleanLike) this.expect(has('boolean'), path, 'a boolean');
    else if (this.#checker.isArrayType(type)) {
      const items = variants.find((variant) => variant.items !== undefined)?.items;
      this.expect(items !== undefined, path, 'a list');
      const [element] = this.#checker.getTypeArguments(type as ts.TypeReference);
      if (items !== undefined && element) this.compare(element, items, direction, `${path}[]`);
    } else this.compareObject(type, variants, direction, path);
  }

  private compareObject(type: ts.Type, variants: Variant[], direction: Direction, path: string): void {
    const indexed = type.getStringIndexType();
    if (indexed) {
      const values = variants.find(({ more }) => more !== undefined)?.more;
      if (values === undefined) this.faults.push(`${path}: not a table`);
      else return this.compare(indexed, values, direction, `${path}.*`);
    }
    for (const tag of tagsOf(type, this.#checker)) {
      const matching = variants.filter(
        ({ types, properties }) =>
          types.includes('object') &&
          (tag === undefined || literals(properties[tag.name]).includes(tag.value)) &&
          // Of objects told apart by their one key, as errors are.
          (tag !== undefined ||
            variants.length === 1 ||
            type.getProperties().some(({ name }) => name in properties)),
      );
      const where = tag === undefined ? path : `${path}(${tag.value})`;
      if (matching.length === 0) this.faults.push(`${where}: no such object`);
      else this.compareFields(type, matching, direction, where, tag?.name);
    }
  }

  private compareFields(
    type: ts.Type,
    variants: Variant[],
    direction: Direction,
    path: string,
    tagName?: string,
  ): void {
    const id = `${this.#checker.typeToString(type, undefined, ts.TypeFormatFlags.NoTruncation)} ${direction} ${path.replace(/^.*\.(?=[^.]*\.)/, '')}`;
    if (this.#seen.has(id)) return;
    this.#seen.add(id);
    for (const field of type.getProperties()) {
      if (field.name === tagName) continue;
      const optional = Boolean(field.flags & ts.SymbolFlags.Optional);
      const holding = variants.filter(({ properties }) => field.name in properties);
      if (holding.length === 0) this.faults.push(`${path}.${field.name}: no such field`);
      for (const { properties } of holding)
        this.compare(
          this.#checker.getTypeOfSymbol(field),
          properties[field.name]!,
          direction,
          `${path}.${field.name}`,
        );
      const always = variants.every(
        ({ required, properties }) => required.includes(field.name) || isConstant(properties[field.name]),
      );
      if (direction === 'read' && !optional && !always)
        this.faults.push(`${path}.${field.name}: may be missing`);
    }
    const ours = type.getProperties().map(({ name }) => name);
    for (const name of direction === 'sent' ? (variants[0]?.required ?? []) : [])
      if (!ours.includes(name)) this.faults.push(`${path}.${name}: required, and not in our type`);
  }

  private expect(holds: boolean, path: string, what: string): void {
    if (!holds) this.faults.push(`${path}: not ${what}`);
  }
}

const ABSENT = ts.TypeFlags.Null | ts.TypeFlags.Undefined;
const ANYTHING = ts.TypeFlags.Unknown | ts.TypeFlags.NonPrimitive;

/** One way a value may look. */
interface Variant {
  types: string[];
  enum: unknown[];
  properties: Record<string, Schema | boolean>;
  required: string[];
  items?: Schema | boolean | undefined;
  more?: Schema | boolean | undefined;
}

function variantsOf(schema: Schema, bundle: Bundle): Variant[] {
  if (schema.$ref) return variantsOf(lookUp(schema.$ref, bundle) ?? {}, bundle);
  const own: Variant = {
    types: schema.type === undefined ? (schema.properties ? ['object'] : []) : [schema.type].flat(),
    enum: schema.enum ?? [],
    properties: schema.properties ?? {},
    required: schema.required ?? [],
    items: schema.items,
    more: schema.additionalProperties,
  };
  const all = (schema.allOf ?? []).flatMap((part) => variantsOf(part, bundle));
  const choices = [...(schema.oneOf ?? []), ...(schema.anyOf ?? [])].flatMap((part) =>
    variantsOf(part, bundle),
  );
  if (choices.length > 0) return choices.map((choice) => joined(own, choice));
  return all.length > 0 ? all.map((part) => joined(own, part)) : [own];
}

const joined = (base: Variant, variant: Variant): Variant => ({
  types: [...new Set([...variant.types, ...base.types])],
  enum: [...base.enum, ...variant.enum],
  properties: { ...base.properties, ...variant.properties },
  required: [...base.required, ...variant.required],
  items: variant.items ?? base.items,
  more: variant.more ?? base.more,
});

function lookUp(ref: string, bundle: Bundle): Schema | undefined {
  let found: unknown = bundle;
  for (const step of ref.slice(2).split('/')) found = (found as Record<string, unknown> | undefined)?.[step];
  return found as Schema | undefined;
}

function firstRef(schema: Schema): string | undefined {
  return schema.$ref ?? [...(schema.allOf ?? []), ...(schema.anyOf ?? [])].map(firstRef).find(Boolean);
}

const literals = (schema: Schema | boolean | undefined): unknown[] =>
  typeof schema === 'object' ? (schema.enum ?? []) : [];

/** A field that codex fills with a constant is marked as optional in its schema. */
const isConstant = (schema: Schema | boolean | undefined): boolean =>
  typeof schema === 'object' && 'default' in schema;

/** The values of the field that tells this object from others; `[undefined]` when there is none. */
function tagsOf(type: ts.Type, checker: ts.TypeChecker): ({ name: string; value: string } | undefined)[] {
  for (const name of ['type', 'mode']) {
    const field = type.getProperty(name);
    const value = field && checker.getTypeOfSymbol(field);
    const values = value === undefined ? [] : value.isUnion() ? value.types : [value];
    const tags = values.flatMap((each) => (each.isStringLiteral() ? [{ name, value: each.value }] : []));
    if (tags.length > 0) return tags;
  }
  return [undefined];
}
