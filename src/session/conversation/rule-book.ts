import type { RulesInForce } from '../../contract/activities.js';
import { toWellFormed } from '../../codex/well-formed.js';
import type {
  Behavior,
  PermissionKind,
  PermissionRecord,
  PermissionRule,
  PolicyRule,
} from '../../contract/index.js';
import type { Ledger } from '../../task-folder/ledger.js';
import { decideByRules, type RuleSubject } from './permission-rules.js';
import { placeRules } from './rule-paths.js';

export interface RuleBookOptions {
  readonly ledger: Pick<Ledger, 'past' | 'write'>;
  /** The input's, with absolute paths. */
  readonly rules: readonly PermissionRule[];
  /** Codex's own notation; the strictest counts. */
  readonly policyRules?: readonly PolicyRule[];
  readonly workDir: string;
}

/** The rules of a task: those of its input, then those that it was given while it runs. */
export class RuleBook {
  #given: RulesInForce = { revision: 0, rules: [] };
  #all: readonly PermissionRule[] = [];

  constructor(private readonly options: RuleBookOptions) {
    const last = options.ledger.past.findLast((each) => each.t === 'rules');
    this.#take(last ?? this.#given);
  }

  /** See `decideByRules`. */
  decide(subject: RuleSubject): Behavior | null {
    return decideByRules(this.#all, subject, this.options.policyRules);
  }

  /**
   * Takes the rules in force, durably, unless they are older than the ones here. `false`: they are.
   * @throws what the disk says; the rules are as before then
   */
  async change({ revision, rules }: RulesInForce): Promise<boolean> {
    if (revision <= this.#given.revision) return false;
    await this.options.ledger.write({ t: 'rules', revision, rules });
    // A later one may have come meanwhile.
    if (revision <= this.#given.revision) return false;
    this.#take({ revision, rules });
    return true;
  }

  #take({ revision, rules }: RulesInForce): void {
    this.#given = { revision, rules };
    const given = rules.map(({ rule }) => rule);
    this.#all = [...this.options.rules, ...placeRules(given, this.options.workDir)];
  }
}

/** Longest summary in a record of a rule's decision. */
const RECORD_CHARS = 100;

/** What the workflow is told of a decision by a rule. */
export const recordOf = (
  requestId: string,
  kind: PermissionKind,
  summary: string,
  behavior: Behavior,
): PermissionRecord => ({
  requestId,
  kind,
  summary: toWellFormed(summary.slice(0, RECORD_CHARS)),
  behavior,
  decidedBy: 'rule',
});
