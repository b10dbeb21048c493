import { randomUUID } from 'node:crypto';
import type { PermissionRule, RulesChange, TaskRule } from '../contract/index.js';
import { parseRules } from '../input/parse-task-input.js';
import { refuseBadRulePatterns } from '../input/patterns.js';

/** The rules that a task was given while it runs: those of its input come before them. */
export interface TaskRules {
  /** Oldest first, as the workflow has them. */
  list(): Promise<TaskRule[]>;
  /**
   * Adds a rule for requests from now on and for those that are open; with an id that the task knows it changes nothing.
   * @param ruleId made here when absent
   * @throws TaskError `BadInput` naming the field
   */
  add(rule: PermissionRule, ruleId?: string): Promise<{ ruleId: string }>;
  /** Takes a rule away; one that is not there is no error. */
  remove(ruleId: string): Promise<void>;
}

export interface RuleCalls {
  readonly ask: () => Promise<TaskRule[]>;
  readonly change: (change: RulesChange) => Promise<void>;
}

export const taskRules = ({ ask, change }: RuleCalls): TaskRules => ({
  list: ask,
  async add(rule, ruleId = randomUUID()) {
    const given = parseRules({ add: [{ ruleId, rule }] });
    refuseBadRulePatterns(given.add);
    await change(given);
    return { ruleId };
  },
  remove: (ruleId) => change(parseRules({ remove: [ruleId] })),
});
