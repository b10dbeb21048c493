import { setHandler } from '@temporalio/workflow';
import * as contract from '../contract.js';
import { parseControl, parseDecision, parseMessage } from '../task-input.js';
import { boundStatus } from './status-budget.js';
import type { Task } from './task.js';

/** Answers signals, queries and the update from now on. */
export function answerSignals(task: Task): void {
  const { desk, errands, outbox, status } = task;
  setHandler(contract.sendMessageSignal, (message) => tolerate(() => outbox.message(parseMessage(message))), {
    description: 'A message for codex, taken once by its messageId',
  });
  setHandler(contract.interruptSignal, () => outbox.interrupt(), {
    description: 'Interrupt the running turn',
  });
  setHandler(contract.closeSignal, () => void (task.closing = true), { description: 'End the task' });
  setHandler(contract.setControlSignal, (change) => tolerate(() => outbox.control(parseControl(change))), {
    description: 'Set model or reasoning_effort from the next turn on',
  });
  setHandler(contract.permissionRequestedSignal, (request) => {
    desk.request(request, Date.now());
    task.show();
  });
  setHandler(contract.permissionSettledSignal, (settled) => {
    desk.settle(settled);
    task.show();
  });
  setHandler(contract.permissionsRecordedSignal, (records) => {
    for (const { requestId, behavior } of records)
      if (desk.record(requestId)) status.decidedByRule[behavior]++;
  });
  setHandler(contract.permissionDecisionSignal, (decision) =>
    tolerate(() => {
      desk.decideSoon({ decidedBy: 'signal', ...parseDecision(decision) });
      task.show();
    }),
  );
  setHandler(contract.hostRestartedSignal, ({ hostId }) => {
    if (hostId !== status.host) return;
    task.restarts++;
    task.returnsBy = 0;
  });
  setHandler(contract.credentialFreeSignal, () => void task.freed++);
  setHandler(contract.hostLeftSignal, ({ hostId }) => {
    if (hostId === status.host) task.left = true;
  });
  setHandler(contract.sessionChangedSignal, (report) => task.report(report));
  setHandler(contract.errandSignal, (errand) => errands.take(errand));
  setHandler(
    contract.decidePermissionUpdate,
    (decision) => {
      desk.decide({ decidedBy: 'update', ...decision });
      task.show();
      return { requestId: decision.requestId, behavior: decision.behavior };
    },
    {
      validator(decision) {
        const { requestId } = parseDecision(decision);
        const refusal = desk.refusal(requestId);
        if (refusal) throw new Error(`Permission request ${requestId} is ${refusal}`);
      },
      description: 'Decide an open permission request',
    },
  );
  setHandler(contract.stateQuery, () => boundStatus(status));
  setHandler(contract.pendingPermissionsQuery, () => [...desk.open.values()]);

  /** A malformed signal must not stop the task: it is dropped and said. */
  function tolerate(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      task.warn(`Signal ignored: ${(error as Error).message}`);
    }
  }
}
