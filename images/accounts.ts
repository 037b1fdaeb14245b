/**
 * The files that glibc reads for names of users and hosts; all that an image has in /etc.
 */

export interface BaseFile {
  readonly path: string;
  readonly text: string;
}

export const accounts: readonly BaseFile[] = [
  {
    path: "etc/group",
    text: "root:x:0:\nnonroot:x:65532:\n",
  },
  { path: "etc/nsswitch.conf", text: "hosts: files dns\n" },
  {
    path: "etc/passwd",
    text: "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n",
  },
];
