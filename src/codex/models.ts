import type { Control } from '../contract/index.js';

export type { Control } from '../contract/index.js';

/** A model that codex offers, in the shape that clients of the event stream know. */
export interface OfferedModel {
  readonly id: string;
  readonly label: string;
  readonly efforts: readonly string[];
  readonly defaultEffort: string | null;
}

export interface Models {
  readonly models: readonly OfferedModel[];
  readonly default: string | null;
}

const FALLBACK: Models = {
  models: [
    { id: 'gpt-5.5', label: 'GPT-5.5', efforts: [], defaultEffort: null },
    { id: 'gpt-5.4-mini', label: 'GPT-5.4 Mini', efforts: [], defaultEffort: null },
  ],
  default: 'gpt-5.5',
};

/** Reads the answer of `model/list`; hidden models are left out, anything unreadable gives a fixed list. */
export function readModels(result: unknown): Models {
  const data = record(result)?.['data'];
  const listed = Array.isArray(data)
    ? data.map(record).filter((each) => each && each['hidden'] !== true)
    : [];
  const models = listed.flatMap((each) => readModel(each) ?? []);
  if (models.length === 0) return FALLBACK;
  const chosen = listed.find((each) => each?.['isDefault'] === true);
  return { models, default: text(chosen?.['id']) ?? null };
}

/** The controls for the model and effort now in force. */
export function controlsFor(models: Models, model: string | null, effort: string | null): Control[] {
  const known = models.models.find((each) => each.id === model);
  const listed = known || model === null ? models.models : [...models.models, unlisted(model)];
  const single = listed.length === 1;
  const select: Control = {
    id: 'model',
    kind: 'select',
    label: 'Model',
    category: 'model',
    value: model,
    disabled: single,
    ...(single && { whyDisabled: 'Only one model is available' }),
    options: listed.map(({ id, label }) => ({ value: id, label, disabled: false })),
  };
  if (!known || known.efforts.length === 0) return [select];
  const value = effort ?? known.defaultEffort;
  return [
    select,
    {
      id: 'reasoning_effort',
      kind: 'slider',
      label: 'Reasoning effort',
      category: 'thought_level',
      value,
      levels: [...known.efforts],
    },
  ];
}

/** The effort that stays in force when the model changes: one the new model lacks becomes its default. */
export function effortAfter(models: Models, model: string, effort: string | null): string | null {
  const known = models.models.find((each) => each.id === model);
  if (!known || effort === null || known.efforts.includes(effort)) return effort;
  return known.defaultEffort;
}

/**
 * The family of a model that codex lists; null for any other. Codex compacts a thread, on the old
 * model, before a turn on a model of another family.
 */
export function familyOf(models: Models, model: string | null): string | null {
  if (!models.models.some(({ id }) => id === model)) return null;
  const [, major, minor = '0'] = /^gpt-(\d+)(?:\.(\d+))?/.exec(model!) ?? [];
  if (major === undefined) return null;
  return Number(major) > 5 || (Number(major) === 5 && Number(minor) >= 6) ? 'gpt-5.6' : 'gpt-5.5';
}

function readModel(value: Record<string, unknown> | undefined): OfferedModel | undefined {
  const id = text(value?.['id']);
  if (id === undefined || value === undefined) return undefined;
  const efforts = Array.isArray(value['supportedReasoningEfforts']) ? value['supportedReasoningEfforts'] : [];
  return {
    id,
    label: text(value['displayName']) ?? id,
    efforts: efforts.flatMap((each) => text(record(each)?.['reasoningEffort']) ?? []),
    defaultEffort: text(value['defaultReasoningEffort']) ?? null,
  };
}

const unlisted = (id: string): OfferedModel => ({ id, label: id, efforts: [], defaultEffort: null });
const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
const record = (value: unknown) =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
