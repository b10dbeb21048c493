import type { TaskSpec } from '../../contract/task-spec.js';

/** The log keywords as the agent is told of them, without those that nobody handles in this task. */
export function protocolDocs({ hooks, limits }: Pick<TaskSpec, 'hooks' | 'limits'>): string[] {
  return [
    '# How to report',
    '',
    'Append lines to `optio.log` in this folder, each with a newline at its end, for example with',
    "`echo 'STATUS: 40% reading the sources' >> optio.log`. Only append: never change or replace that file.",
    '',
    '- `STATUS: [N%] text`: what you are doing, and how far you are.',
    '- `DELIVERABLE: deliverables/NAME`: a result is ready. Write the file below `deliverables/` first, at most',
    `  ${limits.downloadBytes} bytes. When it must be changed or cannot be taken you get a message`,
    '  `System: deliverable NAME: …`: do what it says and report the file again. No message means it is accepted.',
    '- `DONE` or `DONE: text`: the whole task is finished. It is your last line; finish your answer at once after it.',
    '- `ERROR: text`: the task cannot be finished, and why. Also your last line.',
    '- `ATTENTION: reason`: a person is needed.',
    '- `BROWSER: "https://…"`: asks the user’s browser to open an address.',
    '- `CLIENT_MESSAGE: KEYWORD JSON`: a message for the program that shows this session.',
    ...(hooks.onCallerMessage
      ? [
          '- `CALLER_MESSAGE: KEYWORD JSON`: a message for whoever started this task; a reply comes as a message',
          '  `System: …`.',
        ]
      : []),
    '- Any other line is shown as progress.',
  ];
}
