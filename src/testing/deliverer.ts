import { isDeepStrictEqual } from 'node:util';
import type { Deliverer } from '../activities/delivery-parts.js';
import type { Play } from './play.js';
import type { ScriptedTask } from './scripted-tasks.js';

/** Takes each part of a delivery once, however often it comes. */
export function delivererTo(task: ScriptedTask, play: Play): Deliverer {
  const { heard } = task;
  const once = async (id: string, act: () => void) => {
    if (task.taken.has(id)) return;
    task.taken.add(id);
    act();
  };
  return {
    message: (message) =>
      once(`message ${message.messageId}`, () => {
        heard.messages.push(message);
        // One that steers joins the turn that runs, unless its answer is to be another; then it comes next.
        if (!message.steer || !play.turn) play.queue.push(message);
        else if (message.outputSchema && !isDeepStrictEqual(message.outputSchema, play.turn.outputSchema))
          play.queue.unshift(message);
      }),
    async decision(decision) {
      if (play.open?.request.requestId === decision.requestId) play.open.decision ??= decision;
    },
    control: ({ changeId, ...change }) =>
      once(`control ${changeId}`, () => {
        heard.controls.push(change);
        play.choice.set(change);
      }),
    answer: async () => undefined,
    async rules(rules) {
      if (rules.revision <= play.rules.revision) return;
      play.rules = rules;
      play.changed.notifyAll();
    },
    interrupt: ({ interruptId }) =>
      once(`interrupt ${interruptId}`, () => {
        heard.interrupts++;
        if (play.turn) play.turn.cut ??= 'interrupt';
      }),
  };
}
