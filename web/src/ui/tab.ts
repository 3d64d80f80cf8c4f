// Which of the browser's devices this tab is: 1, 2, 3, …, each held by one tab at a time. Pages that
// weren't loaded securely have no locks: all their tabs are the first, and the latest has it.
const tabsMax = 20;

export async function takeTab(user: string): Promise<number> {
  if (!navigator.locks) return 1;
  for (let tab = 1; tab < tabsMax; tab++) {
    if (await hold(`parley.${user}.${tab}`)) return tab;
  }
  return tabsMax;
}

// Holds a lock until the page goes. False where another has it.
function hold(name: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock ? new Promise<void>(() => {}) : undefined;
      })
      .catch(reject);
  });
}
