import type { ControlChange, ErrandAnswer, PermissionDecision, TaskMessage } from '../contract.js';
import type { Delivery, DeliveryKind } from '../step-arguments.js';

/** What acts on each kind of what a delivery holds. */
export interface Deliverer {
  message(message: TaskMessage): Promise<unknown>;
  decision(decision: PermissionDecision): Promise<unknown>;
  control(change: ControlChange): Promise<unknown>;
  answer(answer: ErrandAnswer): Promise<unknown>;
  interrupt(): Promise<unknown>;
}

/** Acts on everything in a delivery, one after the other in the order in which it came. */
export async function deliverInOrder(delivery: Delivery, to: Deliverer): Promise<void> {
  const { messages, decisions, controls, answers, order = usualOrder(delivery) } = delivery;
  const next = { message: 0, decision: 0, control: 0, answer: 0 };
  for (const kind of order)
    if (kind === 'interrupt') await to.interrupt();
    else if (kind === 'control') await to.control(controls[next.control++]!);
    else if (kind === 'decision') await to.decision(decisions[next.decision++]!);
    else if (kind === 'answer') await to.answer(answers[next.answer++]!);
    else await to.message(messages[next.message++]!);
}

/** Of a workflow that says none. */
function usualOrder({ messages, decisions, controls, answers, interrupt, close }: Delivery): DeliveryKind[] {
  return [
    ...controls.map(() => 'control' as const),
    ...decisions.map(() => 'decision' as const),
    ...(interrupt ? (['interrupt'] as const) : []),
    ...(close ? [] : messages.map(() => 'message' as const)),
    ...(close ? [] : answers.map(() => 'answer' as const)),
  ];
}
