/** Parses names of hub models, `org/name` or `org/name@revision`, and checks that names are safe to use as paths. */

/** A repository at a branch, tag or commit. */
export interface HubReference {
  /** `org/name` */
  readonly repository: string;
  readonly revision: string;
}

export const DEFAULT_REVISION = "main";

/**
 * Accepts the address of a repository's page as well: `https://huggingface.co/org/name` or `…/tree/revision`.
 * @returns null if the text cannot be the name of a repository, such as a path with two slashes
 */
export function hubReference(text: string): HubReference | null {
  const page = PAGE.exec(text)?.groups;
  if (page !== undefined) return hubReference(`${page["name"]}@${page["revision"] ?? DEFAULT_REVISION}`);
  const at = text.indexOf("@");
  const repository = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? DEFAULT_REVISION : text.slice(at + 1);
  return isRepository(repository) && isRevision(revision) ? { repository, revision } : null;
}

export function referenceText({ repository, revision }: HubReference): string {
  return revision === DEFAULT_REVISION ? repository : `${repository}@${revision}`;
}

/** Returns true for the hash of a commit, which never changes and so need not be looked up. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Returns true for a relative path with slashes that stays within its folder on every platform. */
export function isSafePath(path: string): boolean {
  return (
    path.length <= MAX_PATH_LENGTH &&
    !/[\\:\0]/.test(path) &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..")
  );
}

const PAGE =
  /^(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)\/(?<name>[^/?#@]+\/[^/?#@]+?)(?:\/tree\/(?<revision>[^?#@]+?))?\/?$/;

const MAX_REPOSITORY_LENGTH = 96;
const MAX_PATH_LENGTH = 1024;

/** Applies the hub's rules. They forbid `--`, which can therefore replace the slash in the names of cache folders. */
function isRepository(text: string): boolean {
  if (text.length > MAX_REPOSITORY_LENGTH || /--|\.\.|\.git$/.test(text)) return false;
  return /^[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?\/[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?$/.test(text);
}

function isRevision(text: string): boolean {
  return /^[A-Za-z0-9_][\w./+-]*$/.test(text) && isSafePath(text);
}
