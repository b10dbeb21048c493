/** A mistake that costs or copies an account and that no step of the store's own shows: what it is about, and its test. */
export interface Beyond {
  name: string;
  /** What of it the model has not. */
  has: string;
  /** Of `test`: file and title. */
  test: readonly [file: string, title: string];
}

const PROCESSES = 'hosts, their processes and folders';
const WORKFLOWS = 'workflows and their steps';
const TIME = 'how long a step of the store takes';
const SHAPES = 'other shapes of auth.json, of keys and of settings';
const LINE = 'who waits in line: a waiter holds no account';
const QUOTA = 'what codex says of a limit';

/** Beside `MISTAKES`: of each that the model cannot have, the test that fails when it is made again. */
export const BEYOND: readonly Beyond[] = [
  {
    name: 'the only copy of a token that the worker was given lies in a folder',
    has: PROCESSES,
    test: [
      'credentials/verify-beside-sweep.test.ts',
      'a token given to the worker itself reaches the seed though its folder is gone',
    ],
  },
  {
    name: 'a token is spent without a look at the lease',
    has: PROCESSES,
    test: [
      'session/account/codex-account.long.test.ts',
      'no token is refreshed before a turn once the lease has run out',
    ],
  },
  {
    name: 'a step of the end that could not save gives the lease back',
    has: WORKFLOWS,
    test: ['workflows/tear-down.test.ts', 'keeps the lease of a seed whose newest credential was not saved'],
  },
  {
    name: 'a person logs in, and what cannot be stored is lost',
    has: PROCESSES,
    test: ['credentials/login.test.ts', 'keeps a login that cannot be stored, and names its place'],
  },
  {
    name: 'two workers have one data folder',
    has: PROCESSES,
    test: [
      'process/data-folder.test.ts',
      'a lock holds across processes, network and process namespaces of the same folder',
    ],
  },
  {
    name: 'a worker whose host another one runs goes on',
    has: PROCESSES,
    test: [
      'worker/faults.long.test.ts',
      'exits with a code of its own when another runs its host from a copied folder',
    ],
  },
  {
    name: 'no guard is there while a codex is launched',
    has: PROCESSES,
    test: [
      'process/start-guard.test.ts',
      'a guard stays as long as its worker, and one that died is started again',
    ],
  },
  {
    name: 'what a guard cannot look at counts as gone',
    has: PROCESSES,
    test: ['guard/guard-tasks.test.ts', 'a process that cannot be examined counts as living'],
  },
  {
    name: 'a codex outlives a short lease',
    has: PROCESSES,
    test: [
      'guard/guard-tasks.test.ts',
      'a Codex that ignores SIGTERM is gone before its lease ends, even one of %i ms',
    ],
  },
  {
    name: 'a full disk keeps a codex from being stopped',
    has: PROCESSES,
    test: ['session/host/stop-on-full-disk.long.test.ts', 'Codex stops when %s on a disk that %s'],
  },
  {
    name: 'a home that cannot be watched ends its task',
    has: PROCESSES,
    test: [
      'process/watch-file.test.ts',
      'a folder that cannot be watched is reported once, and is polled instead',
    ],
  },
  {
    name: 'a URI makes reads stale or writes weak',
    has: 'the driver and its wire',
    test: [
      'store/connection-options.test.ts',
      'every command uses the primary, majority reads and journaled writes',
    ],
  },
  {
    name: 'a write that is repeated after a failover is done twice',
    has: 'the driver and its wire',
    test: [
      'store/failover.long.test.ts',
      'a failover at any write of a lease’s %s repeats nothing and is not noticed',
    ],
  },
  {
    name: 'a record that is restored twice becomes two seeds',
    has: 'nothing: the login’s index refuses the second one, whatever id it gets',
    test: ['store/logins.test.ts', 'makes one seed of a record that several restore at once'],
  },
  {
    name: 'a credential comes back beside the one that took its place',
    has: 'people who restore what a forced addition put out of use: one run in hundreds',
    test: ['store/take-out.test.ts', 'a quarantine record does not revive a seed that was replaced'],
  },
  {
    name: 'a holder whose lease ran out comes back to a seed that a forced addition put out of use',
    has: 'both at once: one run in hundreds',
    test: ['store/take-out.test.ts', 'an expired holder does not save back: its login is in the new seed'],
  },
  {
    name: 'a blob is named although it was fenced',
    has: 'two days that pass within one step of a writer',
    test: ['store/collect.test.ts', 'is stored again by a save, and the seed names the new one'],
  },
  {
    name: 'a new document names a blob that is collected',
    has: 'two days that pass within one step of a writer',
    test: ['store/collect.test.ts', 'is stored again for a quarantine record whose seed is gone'],
  },
  {
    name: 'what a lost host saved under a seed that was deleted meanwhile is collected',
    has: 'a deletion by force, a crash within one save and a lost disk: one run in thousands',
    test: ['store/collect.test.ts', 'goes to quarantine when the save died before %s'],
  },
  {
    name: 'a captured seed changes under its holder',
    has: 'tasks that capture a seed',
    test: [
      'store/captured-seed.test.ts',
      'a captured seed that is leased during a second capture stays as it is',
    ],
  },
  {
    name: 'a seed is leased though nothing tells whether something newer is kept aside',
    has: 'a record that cannot be read here: one run in hundreds',
    test: ['store/settle-quarantine.test.ts', 'is not leased when %s, since a person decides'],
  },
  {
    name: 'a settlement takes the seed of a task',
    has: 'records of a seed that a task holds by then: one run in hundreds',
    test: [
      'store/settle-quarantine.test.ts',
      'is leased as it is when those tokens were issued earlier, and keeps the record',
    ],
  },
  {
    name: 'a lost key of a previous credential keeps the current one from the new key',
    has: SHAPES,
    test: [
      'store/encryption.test.ts',
      'a previous credential whose key is lost blocks no rekey and is deleted on request',
    ],
  },
  {
    name: 'a key that is set lets plain blobs in',
    has: SHAPES,
    test: [
      'store/encryption.test.ts',
      'the encrypted-only setting reads no plain credential, and needs a key to start',
    ],
  },
  {
    name: 'a login is taken for none, or none for a login',
    has: SHAPES,
    test: ['store/auth-shape.test.ts', 'an unknown mode is refused by its name'],
  },
  {
    name: 'a key that nobody refreshes counts as a dead login',
    has: SHAPES,
    test: ['session/account/host-tokens.test.ts', 'a seed with an API key is bad input and no dead login'],
  },
  {
    name: 'a refusal without a time holds nothing out, or is asked again at once',
    has: QUOTA,
    test: [
      'codex/usage-limit.test.ts',
      'an account refused repeatedly by a limit of kind %s is tried less and less often',
    ],
  },
  {
    name: 'a full window of another model holds an account out',
    has: QUOTA,
    test: [
      'session/account/hear-usage.test.ts',
      'values that Codex leaves out stay, and limits of one model hold no account out',
    ],
  },
  {
    name: 'those who wait for one pool keep others from being woken',
    has: LINE,
    test: ['store/waiters.test.ts', 'a thousand waiters of one pool delay no waiter of another'],
  },
  {
    name: 'a waiter that cannot run blocks its pool',
    has: LINE,
    test: ['store/waiters.test.ts', 'a waiter that was told repeatedly is passed over and keeps its place'],
  },
  {
    name: 'workers of one Temporal namespace clear leases of another',
    has: WORKFLOWS,
    test: [
      'store/waiters.test.ts',
      'a waiter is told, and its lease judged, by workers of its own namespace',
    ],
  },
  {
    name: 'a question reads all seeds',
    has: TIME,
    test: ['store/size.long.test.ts', 'reads few documents of a pool of %s seeds, of any size, to say %s'],
  },
  {
    name: 'a question is waited for for ever',
    has: TIME,
    test: ['store/connection-options.test.ts', 'the count of quarantined credentials has a time limit'],
  },
];
