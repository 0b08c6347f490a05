create table drop_seasons (
    program_id uuid not null,
    id uuid not null,
    asset_id uuid not null,
    treasury_id uuid not null,
    network text not null,
    chain_id bigint not null,
    contract text not null,
    token_address text not null,
    chain_season text not null,
    atomic_numerator numeric(78, 0) not null,
    points_denominator bigint not null,
    state text not null,
    opens_at timestamptz not null,
    closes_at timestamptz not null,
    total_atomic numeric(78, 0) default '0' not null,
    claimed_atomic numeric(78, 0) default '0' not null,
    published_block bigint,
    scanned_block bigint,
    closed_block bigint,
    close_intent_id uuid,
    attempts bigint default '0' not null,
    retry_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint pk_drop_seasons primary key (program_id, id),
    constraint ck_drop_seasons_state check (state in ('preparing', 'open', 'closing', 'returning', 'closed', 'cancelled')),
    constraint ck_drop_seasons_claimed check (claimed_atomic >= 0),
    constraint ck_drop_seasons_published check (state in ('preparing', 'cancelled') or published_block is not null),
    constraint ck_drop_seasons_rate check (atomic_numerator > 0 and points_denominator > 0)
);
create index ix_drop_seasons_treasury on drop_seasons (treasury_id) where state in ('open', 'closing');
create index ix_drop_seasons_unfinished on drop_seasons (id) where state not in ('closed', 'cancelled');
create table drops (
    program_id uuid not null,
    id uuid not null,
    season_id uuid not null,
    number bigint not null,
    state text not null,
    opens_at timestamptz not null,
    closes_at timestamptz not null,
    minimum_points bigint not null,
    chosen jsonb,
    collected_to uuid,
    carried_to text,
    leaves bigint default '0' not null,
    points bigint default '0' not null,
    total_atomic numeric(78, 0) default '0' not null,
    added_atomic numeric(78, 0) default '0' not null,
    root text,
    intent_id uuid,
    attempts bigint default '0' not null,
    retry_at timestamptz,
    reserved_at timestamptz,
    reason text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    published_at timestamptz,
    constraint pk_drops primary key (program_id, id),
    constraint ck_drops_state check (state in ('collecting', 'collected', 'committed', 'publishing', 'published', 'cancelling', 'cancelled')),
    constraint ck_drops_committed check ((state in ('committed', 'publishing', 'published')) <= (root is not null)),
    constraint ck_drops_publishing check (state <> 'publishing' or (intent_id is not null and reserved_at is not null))
);
create index ix_drops_unfinished on drops (id) where state not in ('published', 'cancelled');
create unique index uq_drops_number on drops (program_id, season_id, number) where state not in ('cancelling', 'cancelled');
create unique index uq_drops_preparing on drops (program_id, season_id) where state in ('collecting', 'collected', 'committed', 'publishing');
create table drop_leaves (
    program_id uuid not null,
    drop_id uuid not null,
    address text not null,
    season_id uuid not null,
    asset_id uuid not null,
    account_id uuid not null,
    points bigint not null,
    amount_atomic numeric(78, 0) not null,
    cumulative_atomic numeric(78, 0) not null,
    fate text not null,
    place bigint,
    transaction_hash text,
    updated_at timestamptz not null,
    constraint pk_drop_leaves primary key (program_id, drop_id, address),
    constraint ck_drop_leaves_fate check (fate in ('carried', 'waiting', 'claimed', 'returned')),
    constraint ck_drop_leaves_points check ((fate = 'carried') = (points = 0) and (points = 0) = (amount_atomic = 0)),
    constraint ck_drop_leaves_amounts check (points >= 0 and amount_atomic >= 0 and cumulative_atomic >= amount_atomic),
    constraint ck_drop_leaves_form check (address ~ '^0x[0-9a-f]{40}$')
);
create index ix_drop_leaves_account on drop_leaves (program_id, account_id, season_id);
create index ix_drop_leaves_address on drop_leaves (program_id, season_id, address);
create index ix_drop_leaves_waiting on drop_leaves (program_id, season_id, drop_id, address) where fate = 'waiting';
create index ix_drop_leaves_promised on drop_leaves (asset_id, program_id, season_id) include (points, amount_atomic) where fate = 'waiting';
create unique index uq_drop_leaves_account on drop_leaves (program_id, drop_id, account_id) where points > 0;
alter table drop_leaves set (fillfactor = 80);
create table drop_trees (
    program_id uuid not null,
    drop_id uuid not null,
    nodes bytea not null,
    constraint pk_drop_trees primary key (program_id, drop_id)
);
alter table drop_trees alter column nodes set storage external;
