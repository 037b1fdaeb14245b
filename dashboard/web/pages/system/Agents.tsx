/**
 * The agents of the GPU nodes, and how much device time they could join to no owner.
 */
import type { ReactNode } from "react";
import type { System } from "@axonize/core/contract/system";
import { nowMs } from "../../data/clock.ts";
import { ago, count, duration, durationMs, percent, say, timeMs } from "../../data/format.ts";
import { Chip, Dot } from "../../ui/Badge.tsx";
import { Num } from "../../ui/Figure.tsx";
import styles from "./Page.module.css";
import { Section } from "./Section.tsx";

type Agent = System["agents"][number];

/** A clock that is off by more joins spans and samples of one instant to two. */
const badOffsetMs = 20;

export function Agents({ data }: { readonly data: System }): ReactNode {
  const { agents } = data;
  const silent = agents.filter(({ stale }) => stale).length;
  return (
    <Section title="Agents" of={data}>
      {agents.length === 0 ? (
        <p className={styles.quiet}>
          No agent has reported.{" "}
          {data.mode === "standalone" ? (
            <>
              On a machine with an NVIDIA driver one runs inside <code>npm start</code>;{" "}
              <code>npm run agent -- doctor</code> tells why it does not.
            </>
          ) : (
            <>
              The operator runs one on each GPU node that a <code>GpuPool</code> selects;{" "}
              <code>kubectl axonize status</code> lists the pools and what is wrong with them.
            </>
          )}
        </p>
      ) : (
        <div className={styles.wide} role="region" aria-label="Agents" tabIndex={0}>
          <table className={styles.table}>
            <thead>
              <tr>
                <th scope="col">node{silent === 0 ? "" : `, ${silent} silent`}</th>
                <th scope="col">version</th>
                <th scope="col">driver</th>
                <th scope="col" className={styles.number}>
                  report
                </th>
                <th scope="col" className={styles.number}>
                  period
                </th>
                <th scope="col" className={styles.number}>
                  of a core
                </th>
                <th scope="col" className={styles.number}>
                  clock
                </th>
                <th scope="col" className={styles.drops}>
                  dropped
                </th>
              </tr>
            </thead>
            <tbody>
              {agents.map((agent) => (
                <AgentRow key={agent.node} agent={agent} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {agents.map((agent) => (
        <Findings key={agent.node} agent={agent} />
      ))}
    </Section>
  );
}

function AgentRow({ agent }: { readonly agent: Agent }): ReactNode {
  const slowed =
    agent.periodMs !== null &&
    agent.wantedPeriodMs !== null &&
    agent.periodMs > agent.wantedPeriodMs;
  const skewed = agent.offsetMs !== null && Math.abs(agent.offsetMs) > badOffsetMs;
  return (
    <tr>
      <td>
        <span className={styles.name}>
          <Dot tone={agent.trouble !== "" ? "crit" : agent.stale ? "warn" : "ok"} />
          {agent.node}
          {agent.stale ? <Chip tone="warn">silent</Chip> : null}
        </span>
      </td>
      <td className={styles.quiet}>{agent.version}</td>
      <td className={styles.quiet}>{agent.driverVersion || "–"}</td>
      <td className={styles.number}>{ago(timeMs(agent.lastReport), nowMs())}</td>
      <td
        className={slowed ? styles.warnNumber : styles.number}
        title={
          slowed ? "It reads less often than asked, to stay within its CPU budget." : undefined
        }
      >
        <Num q={durationMs(agent.periodMs)} />
        {slowed ? ` of ${say(durationMs(agent.wantedPeriodMs))}` : ""}
      </td>
      <td className={styles.number}>
        <Num q={percent(agent.cpuRatio)} />
      </td>
      <td
        className={skewed ? styles.warnNumber : styles.number}
        title="The agent's clock minus ours, and how surely that is measured"
      >
        {agent.offsetMs === null ? "–" : offsetText(agent.offsetMs, agent.offsetErrorMs)}
      </td>
      <td className={styles.drops}>
        {agent.drops.length === 0 ? (
          <span className={styles.quiet}>nothing</span>
        ) : (
          agent.drops.map(({ reason, count: n }) => `${reason} ${say(count(n))}`).join(", ")
        )}
      </td>
    </tr>
  );
}

function offsetText(ms: number, errorMs: number | null): string {
  const sign = ms < 0 ? "−" : "+";
  const error = errorMs === null ? "" : ` ± ${errorMs.toFixed(1)}`;
  return `${sign}${Math.abs(ms).toFixed(1)}${error} ms`;
}

/** What is wrong on the node, and the line that mends it. */
function Findings({ agent }: { readonly agent: Agent }): ReactNode {
  const all = [
    ...(agent.trouble === "" ? [] : [{ check: "driver", message: agent.trouble, mend: "" }]),
    ...agent.findings,
  ];
  return all.map(({ check, message, mend }) => (
    <div key={check + message} className={styles.finding}>
      <b>{agent.node}</b>
      <span>
        {check}: {message}.{mend === "" ? null : <> To mend it: {mend}.</>}
      </span>
    </div>
  ));
}

export function Unjoined({ data }: { readonly data: System }): ReactNode {
  const most = Math.max(1, ...data.unjoined.map(({ seconds }) => seconds));
  return (
    <Section title="Join health" of={data}>
      {data.unjoined.length === 0 ? (
        <p className={styles.quiet}>
          {data.agents.length === 0
            ? "No agent has reported, so no device time is told."
            : "All device time since the agents' start has an owner or is known to be free."}
        </p>
      ) : (
        <p className={styles.quiet}>Device time that no owner could be joined to, by reason.</p>
      )}
      {data.unjoined.map(({ reason, seconds }) => (
        <div key={reason} className={styles.reject}>
          <span>{reason.replaceAll("_", " ")}</span>
          <div className={styles.track} aria-hidden="true">
            <div style={{ width: `${(seconds / most) * 100}%` }} />
          </div>
          <span className={styles.number}>
            <Num q={duration(seconds * 1e9)} />
          </span>
        </div>
      ))}
    </Section>
  );
}
