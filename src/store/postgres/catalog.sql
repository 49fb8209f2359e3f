-- What the current schema holds under some names, in words that can be compared with another schema's.
-- Definitions name the schema in places; it is cut out, so that two schemas made by the same file read the same.
with own as (
    select c.oid, c.relname::text as name, c.relkind, c.relpersistence, c.relrowsecurity
    from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
        and c.relname = any($1)
), thing(owner, what, is_so) as (
    select name, 'table ' || name,
        case relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'f' then 'foreign table' else 'view' end
            || case relpersistence when 'p' then '' else ', not logged' end
            || case when relrowsecurity then ', row security' else '' end
    from own
    union all
    select name, 'comment on table ' || name, obj_description(oid, 'pg_class')
    from own where obj_description(oid, 'pg_class') is not null
    union all
    select o.name, 'column ' || o.name || '.' || a.attname,
        format_type(a.atttypid, a.atttypmod)
            || case when a.attcollation not in (0, t.typcollation) then ' collated' else '' end
            || case when a.attnotnull then ' not null' else '' end
            || case when d.oid is null then '' else ' default ' || pg_get_expr(d.adbin, d.adrelid) end
            || case when a.attidentity = '' then '' else ' identity' end
    from own o
    join pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    left join pg_attrdef d on d.adrelid = o.oid and d.adnum = a.attnum
    union all
    select o.name, 'constraint ' || c.conname || ' on ' || o.name, pg_get_constraintdef(c.oid)
    from own o join pg_constraint c on c.conrelid = o.oid
    where c.contype <> 't'
    union all
    select o.name, 'index ' || i.relname || ' on ' || o.name,
        pg_get_indexdef(i.oid) || case when x.indisvalid then '' else ' INVALID' end
    from own o
    join pg_index x on x.indrelid = o.oid
    join pg_class i on i.oid = x.indexrelid
    where not exists (select from pg_constraint c where c.conindid = i.oid and c.contype in ('p', 'u', 'x'))
    union all
    select o.name, 'trigger ' || t.tgname || ' on ' || o.name,
        pg_get_triggerdef(t.oid) || case t.tgenabled when 'O' then '' else ' DISABLED' end
    from own o join pg_trigger t on t.tgrelid = o.oid
    where not t.tgisinternal
    union all
    select '', 'function ' || p.oid::regprocedure::text,
        'returns ' || format_type(p.prorettype, null) || ', ' || l.lanname || ': ' || btrim(regexp_replace(p.prosrc, '\s+', ' ', 'g'))
    from pg_proc p join pg_language l on l.oid = p.prolang
    where p.pronamespace = current_schema()::regnamespace and p.proname = any($2)
)
select owner, what, replace(is_so, quote_ident(current_schema()) || '.', '') as is_so
from thing order by what
