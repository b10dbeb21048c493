import type { Config } from '../../config.js';

/** Environment that makes commits name this author; a task's own `env` overrides it. */
export const gitEnvironment = ({ gitAuthor }: Pick<Config, 'gitAuthor'>): Record<string, string> =>
  gitAuthor
    ? {
        GIT_AUTHOR_NAME: gitAuthor.name,
        GIT_AUTHOR_EMAIL: gitAuthor.email,
        GIT_COMMITTER_NAME: gitAuthor.name,
        GIT_COMMITTER_EMAIL: gitAuthor.email,
      }
    : {};

/** Text about it for the agent. */
export function authorLine({
  GIT_AUTHOR_NAME: name,
  GIT_AUTHOR_EMAIL: email,
}: Readonly<Record<string, string>>): string {
  return name && email
    ? `Your commits are by \`${name} <${email}>\`.`
    : 'Git knows no author here: a repository needs `user.name` and `user.email` before its first commit.';
}
