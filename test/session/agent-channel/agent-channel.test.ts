import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import type { HookRequest } from '../../../src/contract/index.js';
import { openAgentChannel } from '../../../src/session/agent-channel/agent-channel.js';
import type { PreparedTask } from '../../../src/session/model/prepared-task.js';
import { openLedger } from '../../../src/task-folder/ledger.js';
import type { Store } from '../../../src/store/mongo.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import type { ChannelTarget } from '../../../src/session/model/agent-channel.js';

test('a hook request that Temporal refuses is settled, and the model is told why', async () => {
  const path = join(await testFolder(), 'ledger');
  const deliverable: HookRequest = {
    id: 'd1',
    kind: 'deliverable',
    deliverable: { path: 'deliverables/report.txt', description: 'long', blobId: null, bytes: 1 },
  } as never;
  const earlier = await openLedger(path);
  await earlier.write({ t: 'hookRequest', hookRequest: deliverable });
  await earlier.close();
  const ledger = await openLedger(path);
  onTestFinished(() => ledger.close());
  const spec = { hooks: {}, limits: { downloadBytes: 1 }, taskId: 't', hostProtocol: false };
  const channel = openAgentChannel(
    { spec, ledger } as unknown as PreparedTask,
    {} as Store,
    pino({ enabled: false }),
    (_hookRequest, onRefused) => onRefused('too large'),
  );
  const heard: { messageId: string; text: string }[] = [];
  let reconsidered = 0;
  expect(channel.holds).toBe(true);
  await channel.start({
    accept: (message) => Promise.resolve(heard.push(message)),
    turns: { conclude: () => undefined, reconsider: () => void reconsidered++ },
    reports: { setProgress: () => undefined },
  } satisfies ChannelTarget);
  await until('its end', () => !channel.holds);
  expect(heard).toEqual([
    { messageId: 'answer-d1', text: 'System: deliverable report.txt did not reach your caller: too large' },
  ]);
  await channel.uploaded('a', 1);
  await until('the end of the upload', () => !channel.holds && reconsidered === 2);
  expect(heard).toHaveLength(1);
  await channel.close();
});
