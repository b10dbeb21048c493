import type { Rpc } from '../../codex/rpc.js';
import { RpcClosed } from '../../codex/rpc-errors.js';
import type { LeaseRef } from '../../contract/activities.js';
import type { Log } from '../../log.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import type { LeaseAnswer } from './renew-task-lease.js';
import { stillOurs } from './still-leased.js';

/** A codex that is connected and uses a leased seed. */
export class LeasedCodex {
  readonly log: Log;
  readonly #closed = new AbortController();

  constructor(
    readonly host: AccountPorts,
    readonly task: PreparedTask,
    readonly lease: LeaseRef,
    readonly rpc: Rpc,
  ) {
    this.log = host.log.child({ taskId: task.ref.taskId, seedId: lease.seedId });
    void rpc.closed.then(() => this.#closed.abort());
  }

  /**
   * Whether the task has the seed, asked now; see `stillOurs`.
   * @param withinMs default: until the lease is over
   */
  isOurs(withinMs?: number): Promise<LeaseAnswer> {
    const { host, task, lease } = this;
    const signal = this.#closed.signal;
    return stillOurs(host, task, lease, { signal, ...(withinMs !== undefined && { withinMs }) });
  }

  /** The lease has run out: this Codex is being stopped, and the next one does the rest. */
  async untilStopped(): Promise<never> {
    const reason = await this.rpc.closed;
    throw new RpcClosed(reason);
  }
}
