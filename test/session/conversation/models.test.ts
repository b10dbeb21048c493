import { describe, expect, test } from 'vitest';
import { familyOf, readModels } from '../../../src/codex/models.js';
import type { LedgerRecord } from '../../../src/task-folder/ledger.js';
import { ModelChoice } from '../../../src/session/conversation/model-choice.js';

const listed = (id: string, efforts: string[] = [], more: object = {}) => ({
  id,
  displayName: id.toUpperCase(),
  supportedReasoningEfforts: efforts.map((reasoningEffort) => ({ reasoningEffort })),
  defaultReasoningEffort: efforts[0] ?? null,
  ...more,
});
const models = readModels({
  data: [
    listed('gpt-5.5', ['low', 'high'], { isDefault: true }),
    listed('gpt-5.6-sol', ['medium', 'high']),
    listed('gpt-6.1-sol', ['medium', 'max']),
    listed('gpt-7-secret', [], { hidden: true }),
    { displayName: 'no id' },
  ],
});

test('hidden models and models without id are left out', () => {
  expect(models.models.map(({ id }) => id)).toEqual(['gpt-5.5', 'gpt-5.6-sol', 'gpt-6.1-sol']);
  expect(models.default).toBe('gpt-5.5');
});

test.each([null, {}, { data: [] }, { data: 'x' }, [], 'x'])(
  'an unreadable list %j gives the fixed list',
  (result) => {
    expect(readModels(result)).toMatchObject({
      default: 'gpt-5.5',
      models: [{ id: 'gpt-5.5' }, { id: 'gpt-5.4-mini' }],
    });
  },
);

test.each([
  ['gpt-5.5', 'gpt-5.5'],
  ['gpt-5.6-sol', 'gpt-5.6'],
  ['gpt-6.1-sol', 'gpt-5.6'],
  ['gpt-6', null],
  ['other', null],
  [null, null],
])('%s belongs to the family %s', (model, family) => {
  expect(familyOf(models, model)).toBe(family);
});

describe('a choice', () => {
  function choose(wantedEffort: string | null = null, past: readonly LedgerRecord[] = []) {
    const events: Record<string, unknown>[] = [];
    const emit = (event: Record<string, unknown>) => void events.push(event);
    const choice = new ModelChoice({ models, model: 'gpt-5.5', effort: null, wantedEffort, past, emit });
    return { choice, events };
  }
  const model = (value: unknown) => ({ id: 'model', value });
  const effort = (value: unknown) => ({ id: 'reasoning_effort', value });

  test('is sent with the next turn and in force after it', () => {
    const { choice, events } = choose('high');
    expect(choice.next()).toEqual({ effort: 'high' });
    choice.set(model('gpt-5.6-sol'));
    const override = choice.next();
    expect(override).toEqual({ model: 'gpt-5.6-sol', effort: 'high' });
    choice.taken(override);
    expect(choice.next()).toEqual({});
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      type: 'x-optio-control-update',
      controls: [{ value: 'gpt-5.6-sol' }, { value: 'high' }],
    });
  });

  test('survives a restart until Codex has a message with it, and counts from then', () => {
    const chosen = [
      { t: 'control', change: model('gpt-5.6-sol') },
      { t: 'control', change: effort('low') },
    ] as const;
    const arrived = { t: 'accepted', messageId: 'm' } as const;
    const waits = choose('high', chosen);
    expect(waits.choice.next()).toEqual({ model: 'gpt-5.6-sol', effort: 'low' });
    expect(waits.events).toEqual([]);
    expect(choose('high', [...chosen, arrived]).choice.next()).toEqual({});
    expect(choose('high', [arrived, chosen[1]]).choice.next()).toEqual({ effort: 'low' });
  });

  test('of a model drops an effort it lacks; an unset effort is not sent', () => {
    const { choice } = choose('low');
    choice.set(model('gpt-6.1-sol'));
    expect(choice.next()).toEqual({ model: 'gpt-6.1-sol', effort: 'medium' });
    const { choice: unset } = choose();
    unset.set(model('gpt-6.1-sol'));
    expect(unset.next()).toEqual({ model: 'gpt-6.1-sol' });
  });

  test('made while a turn starts waits for the next one', () => {
    const { choice } = choose();
    choice.set(model('gpt-5.6-sol'));
    const override = choice.next();
    choice.set(effort('max'));
    choice.taken(override);
    expect(choice.next()).toEqual({ model: 'gpt-5.6-sol', effort: 'max' });
  });

  test('ignores other ids and values', () => {
    const { choice, events } = choose();
    for (const change of [{ id: 'x', value: 'y' }, model(''), model(1), effort(null)])
      expect(choice.set(change)).toBe(false);
    expect(events).toEqual([]);
  });

  test('of another client counts, unless one of ours still waits for its turn', () => {
    const { choice, events } = choose();
    expect(choice.observed('gpt-5.5', null)).toBe(false);
    expect(choice.observed('gpt-6.1-sol', 'max')).toBe(true);
    expect(choice.controls()).toMatchObject([{ value: 'gpt-6.1-sol' }, { value: 'max' }]);
    expect(events).toHaveLength(1);
    choice.set(model('gpt-5.5'));
    expect(choice.observed('gpt-6.1-sol')).toBe(false);
    expect(choice.model).toBe('gpt-5.5');
  });

  test('is reported when it changes the family after the first turn', () => {
    const { choice, events } = choose();
    choice.set(model('gpt-6.1-sol'));
    choice.turnBegins();
    choice.set(model('gpt-5.6-sol'));
    choice.turnBegins();
    choice.set(model('gpt-5.5'));
    choice.set(model('gpt-5.6-sol'));
    choice.turnBegins();
    const said = () => events.filter(({ type }) => type === 'x-optio-model-family');
    expect(said()).toEqual([]);
    choice.set(model('gpt-5.5'));
    choice.turnBegins();
    expect(said()).toMatchObject([{ from: 'gpt-5.6-sol', to: 'gpt-5.5' }]);
  });
});
