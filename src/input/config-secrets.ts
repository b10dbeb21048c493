import { holdsTable, isOfWorker, isTable, OF_SEEDS, type Allowed } from './config-keys.js';

/** Stands in the config.toml of a snapshot where a value was left out. */
export const LEFT_OUT = 'left out of the snapshot, see docs/snapshots.md';

export type Settings = Readonly<Record<string, unknown>>;
type Path = readonly string[];

/**
 * The settings of a task as its snapshots may hold them, and what was left out of them: each value that is or may be a
 * secret, in the same tables. What the worker itself writes into each file is in neither.
 */
export function splitSecrets(config: Settings): { plain: Settings; secrets: Settings } {
  const plain: [string, unknown][] = [];
  const secrets: [string, unknown][] = [];
  for (const [key, value] of Object.entries(config)) {
    if (isOfWorker(key)) continue;
    const parts = split(value, ruleOf(OF_SEEDS, key));
    plain.push([key, parts.plain]);
    if (parts.secrets !== undefined) secrets.push([key, parts.secrets]);
  }
  return { plain: Object.fromEntries(plain), secrets: Object.fromEntries(secrets) };
}

function split(value: unknown, rule: Allowed | undefined): { plain: unknown; secrets?: unknown } {
  if (rule === 'secret') return { plain: LEFT_OUT, secrets: value };
  if ((rule === 'value' && !holdsTable(value)) || rule === 'anything' || typeof value === 'boolean')
    return { plain: value };
  // No resume takes it: its name alone is kept, which a warning tells then.
  if (typeof rule !== 'object' || !isTable(value)) return { plain: LEFT_OUT };
  const parts = Object.entries(value).map(([key, each]) => [key, split(each, ruleOf(rule, key))] as const);
  const hidden = parts.flatMap(([key, { secrets }]) =>
    secrets === undefined ? [] : [[key, secrets] as const],
  );
  return {
    plain: Object.fromEntries(parts.map(([key, { plain }]) => [key, plain])),
    ...(hidden.length > 0 && { secrets: Object.fromEntries(hidden) }),
  };
}

/**
 * The settings of a snapshot with what was left out restored.
 * @param sealed what the snapshot keeps of it
 * @param seed settings of the task's seed: they give what is left out of a server or provider that is the same there
 * @param isGiven whether the task itself sets what lies at this path
 * @param missing gets the path of what nobody gives
 */
export function joinSecrets(
  plain: Settings,
  { sealed, seed, isGiven }: { sealed: Settings; seed: Settings; isGiven: (path: Path) => boolean },
  missing: (path: Path) => void,
): Settings {
  const join = (table: Settings, path: Path): Settings =>
    Object.fromEntries(
      Object.entries(table).flatMap(([key, value]): [string, unknown][] => {
        const here = [...path, key];
        if (isTable(value)) return [[key, join(value, here)]];
        if (value !== LEFT_OUT || ruleAt(here) !== 'secret') return [[key, value]];
        const found = at(sealed, here) ?? (isSameThere(plain, seed, here) ? at(seed, here) : undefined);
        if (found !== undefined) return [[key, found]];
        if (!isGiven(here)) missing(here);
        return [];
      }),
    );
  return join(plain, []);
}

/** A secret is for whom it was given: not for another address or program of the same name. */
function isSameThere(plain: Settings, seed: Settings, [section = '', name = '']: Path): boolean {
  const [ours, theirs] = [plain, seed].map((settings) => at(settings, [section, name]));
  return (
    isTable(ours) &&
    isTable(theirs) &&
    RECIPIENT.every((key) => JSON.stringify(ours[key]) === JSON.stringify(theirs[key]))
  );
}

const RECIPIENT = ['url', 'base_url', 'command', 'args', 'cwd'];

/** What lies at a path of some settings. */
export function at(settings: unknown, path: Path): unknown {
  let value = settings;
  for (const key of path) {
    if (!isTable(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

function ruleAt(path: Path): Allowed | undefined {
  let rule: Allowed | undefined = OF_SEEDS;
  for (const key of path) rule = ruleOf(rule, key);
  return rule;
}

const ruleOf = (rule: Allowed | undefined, key: string): Allowed | undefined =>
  typeof rule === 'object' ? (Object.hasOwn(rule, key) ? rule[key] : rule['*']) : undefined;
