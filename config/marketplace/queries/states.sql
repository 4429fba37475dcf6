-- For each state: its plans, their issuers, and the counties with at least one plan.
select sold.state, sold.plans, sold.issuers, coalesce(reached.counties, 0) as counties
from (
  select p.state, count(*) as plans, count(distinct p.issuer_id) as issuers
  from plans p
  where p.plan_year = :year::int
  group by p.state
) sold
left join (
  select c.state, count(*) as counties
  from counties c
  where exists (
    select from plan_county s where s.county_fips = c.county_fips and s.plan_year = :year::int
  )
  group by c.state
) reached on reached.state = sold.state
order by sold.state
