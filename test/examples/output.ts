import { connectTemporal, createTaskClient } from 'codex-task-worker';

const link = await connectTemporal(process.env);
const task = await createTaskClient({ client: link.client }).start('review-44', {
  prompt: 'Review the newest commit',
  sandbox: { mode: 'read-only' },
  outputSchema: {
    type: 'object',
    properties: {
      verdict: { type: 'string', enum: ['merge', 'change', 'reject'] },
      remarks: { type: 'array', items: { type: 'string' } },
    },
    required: ['verdict', 'remarks'],
    additionalProperties: false,
  },
});
const { output } = await task.result(); // { verdict: 'merge' | 'change' | 'reject'; remarks: string[] } | undefined
console.log(output?.verdict, output?.remarks.length);
await link.close();
