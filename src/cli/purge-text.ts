import { printable, type Paint } from './output.js';
import { row } from './result-text.js';
import type { PurgePlan } from './purge-plan.js';

/** What a purge removes, or did. */
export const purgeView = ({ taskId, remains, folders, left }: PurgePlan, state: 'would go' | 'purged') => ({
  taskId,
  purged: state === 'purged',
  snapshots: remains.snapshots.map(({ id }) => id),
  deliverables: pathsOf(remains, 'deliverable'),
  files: pathsOf(remains, 'file'),
  blobs: remains.blobs.length + remains.looseBlobs.length,
  bytes: remains.blobs.reduce((sum, { length }) => sum + length, 0),
  journalParts: remains.state.parts.length,
  messages: remains.state.messages.length,
  eventMarks: remains.state.marks.length,
  waiters: remains.waiters.length,
  evictions: remains.hosts.length,
  assignments: remains.assignments.map(({ hostId }) => hostId),
  leases: remains.leases.map(({ seedId }) => seedId),
  folders: folders.ownerless,
  left,
});

/** The same for people. */
export function purgeText(plan: PurgePlan, state: 'would go' | 'purged', paint: Paint): string {
  const { taskId, isEmpty, left } = plan;
  const view = purgeView(plan, state);
  const word = isEmpty
    ? paint.green('nothing is stored of')
    : state === 'purged'
      ? paint.green(state)
      : state;
  const checkpoints = plan.remains.snapshots.filter(({ endState }) => endState === 'running').length;
  const rows: [string, string | number][] = [
    [
      'snapshots',
      view.snapshots.length &&
        `${view.snapshots.length}${checkpoints ? `, ${checkpoints} of them checkpoints` : ''}`,
    ],
    ['unfinished', plan.remains.looseBlobs.length && `${plan.remains.looseBlobs.length} blobs of snapshots`],
    ['deliverables', view.deliverables.join(', ')],
    ['files', view.files.join(', ')],
    ['events', view.journalParts && `${view.journalParts} pieces of its journal`],
    ['messages', view.messages],
    ['event marks', view.eventMarks],
    ['waiting', view.waiters && `${view.waiters} places in the line for a seed`],
    ['evictions', view.evictions && `${view.evictions} at hosts that are gone`],
    ['assignment', view.assignments.length && `at host ${view.assignments.join(', ')}, which is gone`],
    ['leases', view.leases.length && `over, of seed ${view.leases.join(', ')}`],
    ...view.folders.map((path): [string, string] => ['folder', path]),
  ];
  return [
    `${word} ${printable(taskId)}`,
    ...rows.flatMap(([label, fact]) => (fact ? [row(label, String(fact), paint)] : [])),
    ...left.map(({ what, why }) => row('assignments', `${what}: ${why}`, paint)),
  ].join('\n');
}

const pathsOf = ({ blobs }: PurgePlan['remains'], name: string): string[] =>
  blobs
    .filter(({ filename }) => filename === name)
    .map(({ id, metadata }) => (typeof metadata['path'] === 'string' ? metadata['path'] : id));
