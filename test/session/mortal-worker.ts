import { AsyncLocalStorage } from 'node:async_hooks';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/** A worker within this process that can be killed between two of its steps: from then on none of them is done. */
export interface Life {
  /** Does what is of this worker. */
  live<T>(act: () => T): T;
  /** Counts from now on. */
  begin(): void;
  /** A step is about to be done: false when the worker is dead. */
  step(name: string): boolean;
  readonly steps: readonly string[];
  readonly died: Promise<void>;
}

const lives = new AsyncLocalStorage<Life>();

/** @param diesAt number of the step, from 0, before which it is killed */
export function mortal(diesAt: number): Life {
  mockSystem();
  const steps: string[] = [];
  let isCounting = false;
  let isDead = false;
  let die: () => void = () => undefined;
  const died = new Promise<void>((resolve) => (die = resolve));
  const life: Life = {
    live: (act) => lives.run(life, act),
    begin: () => void (isCounting = true),
    step(name) {
      if (isDead) return false;
      if (!isCounting) return true;
      if (steps.length === diesAt) {
        isDead = true;
        die();
        return false;
      }
      steps.push(name);
      return true;
    },
    steps,
    died,
  };
  return life;
}

const WRITES = ['writeFile', 'appendFile', 'rename', 'rm', 'mkdir', 'unlink', 'rmdir', 'symlink'] as const;
const HANDLE_WRITES = ['write', 'writeFile', 'appendFile', 'datasync', 'sync', 'truncate'] as const;

type Method = (...args: unknown[]) => unknown;
let isMocked = false;

/** What changes something outside the process: files, and signals to others. The database is its client's to tell. */
function mockSystem(): void {
  if (isMocked) return;
  isMocked = true;
  wrap(fs as unknown as Record<string, Method>, WRITES, 'file');
  const { open } = fs;
  let isHandleMocked = false;
  fs.open = async (...args: Parameters<typeof open>) => {
    const handle = await open(...args);
    if (!isHandleMocked) {
      isHandleMocked = true;
      wrap(Object.getPrototypeOf(handle) as Record<string, Method>, HANDLE_WRITES, 'handle');
    }
    return handle;
  };
  const kill = process.kill.bind(process);
  process.kill = (pid, signal) => {
    if (lives.getStore()?.step(`kill ${signal}`) !== false) kill(pid, signal);
    return true;
  };
  syncBuiltinESMExports();
}

function wrap(target: Record<string, Method>, names: readonly string[], what: string): void {
  for (const name of names) {
    const method = target[name]!;
    target[name] = function (this: unknown, ...args: unknown[]) {
      // Not silence: what waits for its turn in this process is another worker's next.
      if (lives.getStore()?.step(`${what} ${name}`) === false) return Promise.reject(new Error('killed'));
      return method.apply(this, args);
    };
  }
}
