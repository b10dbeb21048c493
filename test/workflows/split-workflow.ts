import { condition, proxyActivities, setHandler, upsertMemo } from '@temporalio/workflow';
import {
  closeSignal,
  hostRestartedSignal,
  sessionChangedSignal,
  stateQuery,
} from '../../src/contract/index.js';

const { step } = proxyActivities<{ step(): Promise<void> }>({
  startToCloseTimeout: '1 minute',
  taskQueue: 'nobody',
});

/** Does things in its signal handlers, and others when all signals of an activation are in, as `codexTask` does. */
export async function splitTask(): Promise<void> {
  let restarts = 0;
  let closing = false;
  setHandler(sessionChangedSignal, ({ revision }) => upsertMemo({ revision }));
  setHandler(hostRestartedSignal, () => void restarts++);
  setHandler(closeSignal, () => void (closing = true));
  setHandler(stateQuery, () => ({ turns: restarts }) as never);
  for (let seen = 0; ; seen = restarts) {
    await condition(() => closing || restarts > seen);
    if (closing) return;
    void step().catch(() => undefined);
  }
}
