import { randomUUID } from 'node:crypto';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { BUDGETS } from '../budgets/budgets.js';
import { sendMessageSignal, sendUpdate, type TaskMessage } from '../contract/index.js';
import { parseMessage } from '../input/parse-task-input.js';
import { isUndecided } from './client-failure.js';
import { postToListener, type TaskListener } from './listener.js';
import { askTemporal, untilTaken } from './task-calls.js';

/** No larger payload goes through Temporal. */
const MAX_SIGNAL_BYTES = BUDGETS.signal;
/** How long a task may leave it open whether it takes a message, before that is sent anyhow. */
const SEND_MS = 5_000;

/** The task that is to get a message. */
export interface Receiver {
  readonly client: Client;
  readonly workflow: WorkflowHandle;
  listener(): Promise<TaskListener>;
}

/**
 * Sends a message; its id is made where it has none. Over 64 KiB it goes to the listener.
 * @throws TaskError `NotFound` when the task is closing or has ended
 */
export async function sendMessage(to: Receiver, given: Partial<TaskMessage>): Promise<{ messageId: string }> {
  const message = parseMessage({ messageId: randomUUID(), ...given });
  if (Buffer.byteLength(JSON.stringify(message)) > MAX_SIGNAL_BYTES)
    await postToListener(await to.listener(), 'send', message);
  else await send(to, message);
  return { messageId: message.messageId };
}

/** The update tells whether the task takes it; without a worker to say so, a signal is kept until there is one. */
async function send({ client, workflow }: Receiver, message: TaskMessage): Promise<void> {
  const ask = <T>(run: () => Promise<T>, withinMs?: number) =>
    askTemporal(client, workflow.workflowId, run, withinMs);
  const args: [TaskMessage] = [message];
  try {
    await untilTaken(() => ask(() => workflow.executeUpdate(sendUpdate, { args }), SEND_MS));
  } catch (error) {
    if (!isUndecided(error)) throw error;
    await ask(() => workflow.signal(sendMessageSignal, message));
  }
}
