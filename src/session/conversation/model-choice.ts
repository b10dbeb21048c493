import { controlsFor, effortAfter, familyOf, type Control, type Models } from '../../codex/models.js';
import { toWellFormed } from '../../codex/well-formed.js';
import type { ControlChange, OwnEvent } from '../../contract/index.js';
import type { LedgerRecord } from '../../task-folder/ledger.js';

export interface ModelChoiceOptions {
  readonly models: Models;
  /** In force when the thread was opened. */
  readonly model: string | null;
  readonly effort: string | null;
  /** From the task's input; sent with the first turn. */
  readonly wantedEffort: string | null;
  /** Records of an earlier process. */
  readonly past: readonly LedgerRecord[];
  readonly emit: (event: OwnEvent) => void;
}

/** Sent with the next turn; Codex keeps it for later ones. */
export interface Override {
  model?: string;
  effort?: string | null;
}

/** Model and effort of a thread: a choice here is sent with the next turn, and changes by Codex are taken over. */
export class ModelChoice {
  model: string | null;
  private effort: string | null;
  private armed: Override;
  /** Model of the newest turn; null before the first. */
  private used: string | null = null;

  constructor(private readonly options: ModelChoiceOptions) {
    const { model, effort, past } = options;
    // Codex got the input's choice with its first message.
    const turned = past.findLastIndex(({ t }) => t === 'accepted');
    const wantedEffort = turned === -1 ? options.wantedEffort : null;
    this.model = model;
    this.effort = wantedEffort ?? effort;
    this.armed = wantedEffort === null ? {} : { effort: wantedEffort };
    for (const each of past.slice(turned + 1)) if (each.t === 'control') this.take(each.change);
  }

  /** Takes a choice for the next turn and all later ones; ignores invalid ids and values. */
  set(change: ControlChange): boolean {
    const isTaken = this.take(change);
    if (isTaken) this.announce();
    return isTaken;
  }

  private take({ id, value }: ControlChange): boolean {
    if (typeof value !== 'string' || value === '') return false;
    const chosen = toWellFormed(value);
    if (id === 'model') {
      const effort = effortAfter(this.options.models, chosen, this.effort);
      // An effort that was never chosen stays the model's own.
      const changed = this.armed.effort !== undefined || effort !== this.effort;
      this.effort = effort;
      this.model = chosen;
      this.armed = { model: chosen, ...(changed && { effort }) };
    } else if (id === 'reasoning_effort') {
      this.effort = chosen;
      this.armed = { ...this.armed, effort: chosen };
    } else return false;
    return true;
  }

  /** The choice for the turn that begins now; `taken` forgets it. */
  next(): Override {
    return this.armed;
  }

  taken(override: Override): void {
    if (this.armed === override) this.armed = {};
  }

  /** A turn begins: reports when it compacts the thread first, because its model is of another family. */
  turnBegins(): void {
    const { models, emit } = this.options;
    const from = this.used;
    this.used = this.model;
    const [fromFamily, toFamily] = [familyOf(models, from), familyOf(models, this.model)];
    if (fromFamily === null || toFamily === null || fromFamily === toFamily) return;
    emit({ type: 'x-optio-model-family', from, to: this.model, fromFamily, toFamily, compacts: true });
  }

  /** Takes over what Codex reports as in force. True when it changed. */
  observed(model: string, effort?: string | null): boolean {
    // A choice that still waits for its turn overrides what is in force until then.
    const newModel = this.armed.model === undefined && model !== this.model;
    const newEffort = typeof effort === 'string' && this.armed.effort === undefined && effort !== this.effort;
    if (newModel) {
      this.effort = effortAfter(this.options.models, model, this.effort);
      this.model = model;
    }
    if (newEffort) this.effort = effort;
    if (newModel || newEffort) this.announce();
    return newModel || newEffort;
  }

  controls(): Control[] {
    return controlsFor(this.options.models, this.model, this.effort);
  }

  private announce(): void {
    this.options.emit({ type: 'x-optio-control-update', controls: this.controls() });
  }
}
