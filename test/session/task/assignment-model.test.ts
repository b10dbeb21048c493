import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { Config } from '../../../src/config.js';
import { hostLeaseActivities } from '../../../src/activities/host-lease.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { isOurs } from '../../../src/session/task/is-ours.js';
import { writeTaskManifest } from '../../../src/task-folder/task-manifest.js';
import { taskFolder, type TaskFolder } from '../../../src/task-folder/task-folder.js';
import { saveOrphan } from '../../../src/session/task/save-orphan.js';
import { takeSnapshot } from '../../../src/snapshots/take-snapshot.js';
import type { TaskRef } from '../../../src/contract/activities.js';
import { registerHost, renewHost, acknowledgeEviction, type HostEpoch } from '../../../src/store/hosts.js';
import { databaseNow } from '../../../src/store/mongo.js';
import { snapshotsOf } from '../../../src/store/collections.js';
import { endAssignment, findAssignment } from '../../../src/store/assignments.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { MINUTE, useStore } from '../../store/support.js';
import { randomFrom } from '../../store/model/scheduler.js';
import { testFolder } from '../../support/folders.js';
import { range } from '../../support/range.js';
import type { TaskSpec } from '../../../src/contract/task-spec.js';

const use = useStore();

/** A host whose codexes are a set, with a real folder for its task and the database's word for everything else. */
class FakeHost {
  /** The assignment that lies here, and whether its codex runs. */
  here: { ref: TaskRef; runs: boolean } | null = null;
  isCutOff = false;
  private constructor(
    readonly context: HostContext,
    readonly folder: TaskFolder,
    private readonly spec: TaskSpec,
    private readonly lease: HostEpoch,
  ) {}

  static async open(hostId: string, spec: TaskSpec): Promise<FakeHost> {
    const dataDir = await testFolder();
    const { store } = use;
    const entry = { hostId, listenerUrl: '', version: '', ttlMs: MINUTE };
    const { epoch } = await registerHost(store, entry);
    const config = { dataDir } as Config;
    const context = { hostId, store, config, log: pino({ enabled: false }) } as unknown as HostContext;
    return new FakeHost(context, taskFolder(dataDir, spec.taskId), spec, { hostId, epoch });
  }

  /** What `prepareWorkdir` and the launch do. */
  async launch(ref: TaskRef): Promise<boolean> {
    if (this.here && this.here.ref.assignmentId !== ref.assignmentId)
      throw new Error('a place was granted too soon');
    if (!(await isOurs(this.context, ref, null))) return false;
    for (const path of [this.folder.work, this.folder.codexHome, this.folder.journal])
      await mkdir(path, { recursive: true });
    await writeFile(this.folder.ledger, '{"t":"thread","threadId":"T","model":null}\n');
    await writeFile(`${this.folder.work}/made`, ref.assignmentId);
    const begunAt = (await databaseNow(use.store)).toISOString();
    await writeTaskManifest(this.folder, { ref, spec: this.spec, lease: null, begunAt });
    this.here = { ref, runs: true };
    return true;
  }

  /** Codex is gone, then the folder, then the record. */
  async clear(): Promise<void> {
    const { ref } = this.here!;
    this.here!.runs = false;
    await rm(this.folder.root, { recursive: true, force: true });
    this.here = null;
    await endAssignment(use.store, ref, this.context.hostId);
  }

  /** Its right is over, and the guard has stopped its codex before that. */
  async cutOff(): Promise<void> {
    this.isCutOff = true;
    if (this.here) this.here.runs = false;
    await renewHost(use.store, this.lease, -1);
  }

  /** What its first renewal and its next sweep make of what lies here. */
  async back(isRunning: (ref: TaskRef) => boolean): Promise<void> {
    this.isCutOff = false;
    const { evict } = (await renewHost(use.store, this.lease, MINUTE))!;
    for (const { ref } of evict) {
      if (this.here?.ref.assignmentId === ref.assignmentId) await this.clear();
      await acknowledgeEviction(use.store, this.context.hostId, ref);
    }
    if (this.here) await this.sweep(isRunning);
  }

  async sweep(isRunning: (ref: TaskRef) => boolean): Promise<void> {
    const { ref } = this.here!;
    if (!isRunning(ref)) {
      this.here!.runs = false;
      await saveOrphan(this.context, this.folder);
      await this.clear();
    } else if (await isOurs(this.context, ref, null)) this.here!.runs = true;
    else await this.clear();
  }

  async end(): Promise<void> {
    const { ref } = this.here!;
    this.here!.runs = false;
    const args = { ref, settings: this.spec.snapshot, kind: 'end', endState: 'done', threadId: 'T' } as const;
    await takeSnapshot(this.context, args, { request: `${ref.assignmentId}/end` });
    await this.clear();
  }
}

const ACTS = ['start', 'reset', 'terminate', 'end', 'cut off', 'back', 'sweep', 'begin', 'late'] as const;

/** One random life of one task id. @throws Error at the first act after which two codexes run, or a stale end is newest */
async function live(seed: number, acts: number): Promise<void> {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const taskId = `model/${seed}`;
  const spec = parseTaskInput({ credential: { none: true } }, taskId);
  const hosts = [await FakeHost.open(`a${seed}`, spec), await FakeHost.open(`b${seed}`, spec)];
  const steps = hostLeaseActivities(use.store);
  /** In which order assignments began, by their ids. */
  const begun: string[] = [];
  /** The workflow: none, or a run that looks for an assignment or has one. */
  let task: TaskRef | null = null;
  /** Steps that were handed out, and come to a host when much else has happened. */
  const late: TaskRef[] = [];
  const isRunning = (ref: TaskRef) => ref.runId === task?.runId;
  const said: string[] = [];

  /** A first stay as the workflow takes it, which any crash may leave after each of its steps. */
  const begin = async (): Promise<void> => {
    if (!task || hosts.some(({ here }) => here?.ref.assignmentId === task!.assignmentId)) return;
    const crashesAt = random(6);
    const held = await findAssignment(use.store, task.taskId);
    if (held && held.assignmentId !== task.assignmentId) {
      const host = hosts.find(({ context }) => context.hostId === held.hostId)!;
      if (host.isCutOff) {
        if (crashesAt === 0) return;
        expect(await steps.fenceHost({ hostId: held.hostId, ref: held })).toBe('fenced');
      } else if (host.here) {
        if (!isRunning(host.here.ref)) await host.sweep(isRunning);
        else await host.clear();
      } else await endAssignment(use.store, held, held.hostId);
    }
    if (crashesAt === 1) return;
    const free = hosts.filter((host) => !host.isCutOff && !host.here);
    if (free.length === 0 || !task) return;
    if (crashesAt === 2) return void late.push(task);
    if (await pick(free).launch(task)) begun.push(task.assignmentId);
  };

  const act: Record<(typeof ACTS)[number], () => Promise<void>> = {
    begin,
    async start() {
      // Also over a run that is still there: TERMINATE_EXISTING.
      task = { taskId, runId: randomUUID(), assignmentId: randomUUID() };
      await begin();
    },
    async reset() {
      if (!task) return;
      task = { ...task, assignmentId: randomUUID() };
      await begin();
    },
    async late() {
      const ref = late.pop();
      const free = hosts.filter((host) => !host.isCutOff && !host.here);
      if (ref && free.length > 0 && (await pick(free).launch(ref))) begun.push(ref.assignmentId);
    },
    async terminate() {
      task = null;
    },
    async end() {
      const host = hosts.find(
        ({ here, isCutOff }) => here?.runs && !isCutOff && here.ref.assignmentId === task?.assignmentId,
      );
      if (!host) return;
      await host.end();
      task = null;
    },
    async 'cut off'() {
      const host = pick(hosts);
      if (!host.isCutOff) await host.cutOff();
    },
    async back() {
      const host = pick(hosts);
      if (host.isCutOff) await host.back(isRunning);
    },
    async sweep() {
      const host = pick(hosts);
      if (!host.isCutOff && host.here) await host.sweep(isRunning);
    },
  };
  for (let n = 0; n < acts; n++) {
    const name = pick(ACTS);
    said.push(name);
    await act[name]();
    const story = `seed ${seed}: ${said.join(', ')}`;
    expect(hosts.filter(({ here }) => here?.runs).length, story).toBeLessThan(2);
    const saved = await snapshotsOf(use.store)
      .find({ processId: taskId }, { sort: { capturedAt: 1, _id: 1 } })
      .toArray();
    const order = saved.map(({ request }) => begun.indexOf(request!.split('/')[0]!));
    expect(order, story).toEqual([...order].sort((a, b) => a - b));
  }
}

test.each(range(1, 20))(
  'a task runs one Codex at most on two hosts and saves its ends in order (%i)',
  async (seed) => {
    await live(seed, 25);
  },
);
