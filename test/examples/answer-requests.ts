import { connectTemporal, createTaskClient } from 'codex-task-worker';

const link = await connectTemporal(process.env);
const task = await createTaskClient({ client: link.client }).start('fix-43', {
  prompt: 'Fix the failing test',
});
for await (const request of task.permissions()) {
  console.error(request.summary);
  await request.allow({ decidedBy: 'anna' });
}
console.log((await task.result()).finalMessage);
await link.close();
